import { z } from 'zod';
import { ROLES, SCOPES } from '../../core/principal.ts';
import type { CreatedKey, KeyInfo } from '../../workcell/sandbox-backend.ts';
import { type Answer, defineRoute, type HttpContext, type Route } from '../define-route.ts';
import { type Page, pageOf, pageQuery, takePage } from '../schemas/page.ts';

const time = z.iso.datetime();

const fields = {
  id: z.string(),
  name: z.string(),
  role: z.enum(ROLES),
  organisation: z.string(),
  customer: z.string().nullable().describe('The one customer that the key is good for'),
  scopes: z.array(z.enum(SCOPES)).describe('What the key is good for'),
  prefix: z.string().describe('The first characters of the secret, to tell keys apart by'),
  active: z.boolean().describe('Whether it lets anybody in now'),
  createdAt: time,
  createdBy: z.string().nullable().describe('The key that made it'),
  lastUsedAt: time.nullable().describe('To within five minutes'),
  expiresAt: time.nullable(),
  revokedAt: time.nullable(),
  maxSandboxes: z.int().nullable(),
};

const keySchema = z.object(fields).meta({ id: 'Key' });
const newKeySchema = z
  .object({ ...fields, secret: z.string().describe('Shown this once: it is not kept') })
  .meta({ id: 'NewKey' });

const wantedFields = {
  name: z.string().describe('For people: 1 to 64 characters'),
  scopes: z.array(z.enum(SCOPES)).exactOptional().describe('Default: all; of a customer all but `approve` and `keys`'),
  expiresInMs: z.number().positive().exactOptional().describe('Default: it does not expire'),
};

const wantedKey = z.strictObject({
  ...wantedFields,
  role: z.enum(ROLES).exactOptional().describe('Default `customer` with a customer, else `organisation`'),
  organisation: z.string().exactOptional().describe('Default: that of the customer, else of the key that asks'),
  customer: z.string().exactOptional(),
  maxSandboxes: z.int().positive().exactOptional(),
});

const params = z.strictObject({ key: z.string() });
const CREATED = { 201: { description: 'The key, with its secret', schema: newKeySchema } };
const RULES = 'No key makes one that reaches further than itself, does more, or is good for longer.';

/** Who may use the server. Of keys that a principal may not see there are none. */
export function keyRoutes({ cell: { keys } }: HttpContext): readonly Route[] {
  return [
    defineRoute({
      method: 'GET',
      path: '/keys',
      summary: 'List the keys that the key may see: an administrator’s all, others their own',
      scope: 'keys',
      query: pageQuery,
      responses: { 200: { description: 'Oldest first; revoked and expired ones, too', schema: pageOf(keySchema) } },
      handler: async ({ principal, query }) => ({ body: listed(await keys.listFor(principal), query) }),
    }),
    defineRoute({
      method: 'POST',
      path: '/keys',
      summary: 'Make a key',
      description: RULES,
      scope: 'keys',
      body: wantedKey,
      responses: CREATED,
      handler: async ({ principal, body }) => {
        const { customer, role = customer === undefined ? 'organisation' : 'customer', organisation, ...others } = body;
        // As in paths, an organisation's own name may be left out.
        const isFull = customer?.includes('.') === true;
        const own = isFull || principal.role === 'administrator' ? undefined : principal.org.name;
        return created(await keys.createFor(principal, { ...others, role, org: organisation ?? own, customer }));
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/keys/{key}',
      summary: 'Look at one key',
      scope: 'keys',
      params,
      responses: { 200: { description: 'The key', schema: keySchema } },
      handler: async ({ principal, params: { key } }) => ({ body: toKey(await keys.getFor(principal, key)) }),
    }),
    defineRoute({
      method: 'DELETE',
      path: '/keys/{key}',
      summary: 'Revoke a key',
      description: 'At once and for good; what it has open is closed. Again it changes nothing.',
      scope: 'keys',
      params,
      responses: { 200: { description: 'The key, revoked', schema: keySchema } },
      handler: async ({ principal, params: { key } }) => ({ body: toKey(await keys.revokeFor(principal, key)) }),
    }),
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/keys',
      summary: 'List the keys of a customer',
      scope: 'keys',
      makesCustomer: true,
      query: pageQuery,
      responses: { 200: { description: 'Oldest first; revoked and expired ones, too', schema: pageOf(keySchema) } },
      handler: async ({ customer, principal, query }) => {
        const own = (await keys.listFor(principal)).filter((key) => key.customer === customer.id);
        return { body: listed(own, query) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/keys',
      summary: 'Make a key of a customer',
      description: RULES,
      scope: 'keys',
      makesCustomer: true,
      body: z.strictObject(wantedFields),
      responses: CREATED,
      handler: async ({ customer: { id: customer }, principal, body }) =>
        created(await keys.createFor(principal, { ...body, role: 'customer', customer })),
    }),
    defineRoute({
      method: 'DELETE',
      path: '/customers/{customer}/keys/{key}',
      summary: 'Revoke a key of a customer',
      description: 'At once and for good; what it has open is closed. Again it changes nothing.',
      scope: 'keys',
      makesCustomer: true,
      params,
      responses: { 200: { description: 'The key, revoked', schema: keySchema } },
      handler: async ({ customer, principal, params: { key } }) => ({
        body: toKey(await keys.revokeFor(principal, key, customer.id)),
      }),
    }),
  ];
}

function created({ key, secret }: CreatedKey): Answer {
  return {
    status: 201,
    headers: { 'cache-control': 'no-store' },
    body: { ...toKey(key), secret: secret.reveal() },
  };
}

function listed(all: readonly KeyInfo[], query: z.output<typeof pageQuery>): Page<z.output<typeof keySchema>> {
  const ageOf = ({ createdAt, id }: Pick<KeyInfo, 'createdAt' | 'id'>) => `${createdAt} ${id}`;
  const sorted = all.toSorted((a, b) => (ageOf(a) < ageOf(b) ? -1 : 1));
  return takePage(sorted.map(toKey), query, ageOf);
}

function toKey(key: KeyInfo): z.output<typeof keySchema> {
  const { id, name, role, org, scopes, prefix, active, createdAt } = key;
  const { customer = null, createdBy = null, lastUsedAt = null, expiresAt = null } = key;
  const { revokedAt = null, maxSandboxes = null } = key;
  return {
    ...{ id, name, role, organisation: org.name, customer, scopes: [...scopes], prefix, active },
    ...{ createdAt, createdBy, lastUsedAt, expiresAt, revokedAt, maxSandboxes },
  };
}
