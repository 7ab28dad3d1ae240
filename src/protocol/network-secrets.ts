import { z } from 'zod';
import { isDomainName } from '../core/network-policy.ts';

const hostName = z.string().refine((text) => isDomainName(text), 'must be a host name');
const hostPatternSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('exact'), value: hostName }),
  z.strictObject({
    type: z.literal('wildcard'),
    value: z.string().refine((text) => text.startsWith('*.') && isDomainName(text.slice(2)), 'must be *. and a name'),
  }),
  z.strictObject({ type: z.literal('any') }),
]);

const violationSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('block') }),
  z.strictObject({ type: z.literal('block_and_log') }),
  z.strictObject({ type: z.literal('block_and_terminate') }),
  z.strictObject({ type: z.literal('passthrough'), hosts: z.array(hostPatternSchema) }),
]);

const text = z.string().regex(/^[^\0]*$/, 'must not contain NUL');

/**
 * Secrets as the cloud API carries them.
 *
 * Source: superradcompany/microsandbox `docs/api-reference/openapi.json`, `CloudSecretsConfig`.
 */
export const networkSecretsSchema = z.strictObject({
  /** Sent empty by the stock clients when networking is configured at all. */
  entries: z
    .array(
      z.strictObject({
        env_var: z.string().regex(/^[^=\0]{1,256}$/, 'must be a name for a variable'),
        value: text.max(64 * 1024).default(''),
        source: z
          .discriminatedUnion('type', [
            z.strictObject({ type: z.literal('env'), var: z.string() }),
            z.strictObject({ type: z.literal('store'), reference: z.string() }),
          ])
          .nullish(),
        placeholder: z.string().min(1).max(1024),
        allowed_hosts: z.array(hostPatternSchema).min(1).max(64),
        injection: z
          .strictObject({
            headers: z.boolean().default(true),
            basic_auth: z.boolean().default(true),
            query_params: z.boolean().default(false),
            body: z.boolean().default(false),
          })
          .prefault({}),
        on_violation: violationSchema.nullish(),
        require_tls_identity: z.boolean().default(true),
      }),
    )
    .max(64)
    .default([]),
  on_violation: violationSchema.prefault({ type: 'block_and_log' }),
});

export type NetworkSecrets = z.infer<typeof networkSecretsSchema>;
