import { describe, expect, it } from 'vitest';
import { type CreateSandboxRequest, createSandboxSchema } from '../../../src/protocol/rest.ts';
import { partSecrets, toGuestSecrets } from '../../../src/sandbox/guest-secrets.ts';
import { sandboxSpec } from '../../support/sandbox-server.ts';

const ENTRY = {
  env_var: 'TOKEN',
  value: 'of a customer',
  placeholder: '$MSB_TOKEN',
  allowed_hosts: [
    { type: 'exact', value: 'api.example.com' },
    { type: 'wildcard', value: '*.example.org' },
  ],
};
const requestOf = (entries: readonly object[], more: object = {}): CreateSandboxRequest =>
  createSandboxSchema.parse({ ...sandboxSpec('one'), network: { secrets: { entries, ...more } } });

describe('the secrets of a request', () => {
  it('are handed to the driver with their values, which what is kept does not have', () => {
    const { request, values } = partSecrets(requestOf([ENTRY], { on_violation: { type: 'block_and_terminate' } }));
    expect(JSON.stringify([request, [...values]])).not.toContain('of a customer');
    // As it is read again by the next process.
    const kept = createSandboxSchema.parse(JSON.parse(JSON.stringify(request)));
    const secrets = toGuestSecrets(kept, values);
    expect(secrets).toEqual({
      onViolation: 'block-and-terminate',
      entries: [
        {
          name: 'TOKEN',
          value: expect.anything(),
          hosts: ['api.example.com', '*.example.org'],
          inject: ['headers', 'basic_auth'],
          requiresTls: true,
        },
      ],
    });
    expect(secrets?.entries[0]?.value.reveal()).toBe('of a customer');
  });

  it('are none when there are no entries, as the stock clients send them', () => {
    expect(toGuestSecrets(requestOf([]), new Map())).toBeUndefined();
  });

  it('cannot be given when their values are not known, as after a restart', () => {
    const { request } = partSecrets(requestOf([ENTRY]));
    expect(() => toGuestSecrets(request, new Map())).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('"TOKEN"') }),
    );
  });

  it.each([
    ['source', { ...ENTRY, value: '', source: { type: 'env', var: 'HOME' } }],
    ['placeholder', { ...ENTRY, placeholder: 'X' }],
    ['allowed_hosts', { ...ENTRY, allowed_hosts: [{ type: 'any' }] }],
    ['injection.body', { ...ENTRY, injection: { body: true } }],
    ['on_violation of one secret', { ...ENTRY, on_violation: { type: 'block' } }],
  ])('are refused by name for what no driver can do: %s', (field, entry) => {
    const { request, values } = partSecrets(requestOf([entry]));
    expect(() => toGuestSecrets(request, values)).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringContaining(`"${field}"`) }),
    );
  });

  it('are refused when a placeholder may leave for other hosts, or two have one name', () => {
    const passing = partSecrets(
      requestOf([ENTRY], { on_violation: { type: 'passthrough', hosts: [{ type: 'any' }] } }),
    );
    expect(() => toGuestSecrets(passing.request, passing.values)).toThrow(/"on_violation"/);
    const twice = partSecrets(requestOf([ENTRY, { ...ENTRY, value: 'other' }]));
    expect(() => toGuestSecrets(twice.request, twice.values)).toThrow(/same name/);
  });

  it.each([
    ['a name with =', { ...ENTRY, env_var: 'A=B' }],
    ['a value with NUL', { ...ENTRY, value: 'a\0b' }],
    ['no host', { ...ENTRY, allowed_hosts: [] }],
    ['a host that is none', { ...ENTRY, allowed_hosts: [{ type: 'exact', value: 'a b' }] }],
    ['an unknown field', { ...ENTRY, scope: 'all' }],
  ])('are no request with %s', (_what, entry) => {
    expect(() => requestOf([entry])).toThrow();
  });
});
