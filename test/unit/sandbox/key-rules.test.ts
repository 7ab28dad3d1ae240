import { describe, expect, it } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import {
  DEFAULT_ORGANISATION,
  defaultScopes,
  type Principal,
  type Role,
  SCOPES,
  type Scope,
} from '../../../src/core/principal.ts';
import type { KeyInfo } from '../../../src/sandbox/key-file.ts';
import { assertMayRevoke, maySeeKey, restrictNewKey } from '../../../src/sandbox/key-rules.ts';
import { checkNewKey, type NewKey } from '../../../src/sandbox/new-key.ts';

const NOW = Date.UTC(2026, 0, 1);
const DAY_MS = 24 * 60 * 60_000;
const ACME = { id: '00000000-0000-4000-8000-00000000000a', name: 'acme' };
const BOX = { id: '00000000-0000-4000-8000-00000000000b', name: 'box' };

const withScopes = (role: Role, scopes: readonly Scope[], more: Partial<Principal> = {}): Principal => ({
  keyId: 'key_self',
  role,
  org: ACME,
  scopes: new Set(scopes),
  ...more,
});
const administrator = withScopes('administrator', SCOPES, { org: DEFAULT_ORGANISATION });
const acme = withScopes('organisation', SCOPES);
const ann = withScopes('customer', [...defaultScopes('customer'), 'keys'], { customer: parseCustomerId('acme.ann') });

const KINDS = {
  administrator: { role: 'administrator' },
  'own organisation': { role: 'organisation', org: 'acme' },
  'other organisation': { role: 'organisation', org: 'box' },
  'own customer': { role: 'customer', customer: 'acme.ann' },
  'another own customer': { role: 'customer', customer: 'bob', org: 'acme' },
  "another organisation's customer": { role: 'customer', customer: 'box.ann' },
  'customer of the default organisation': { role: 'customer', customer: 'ann' },
} as const satisfies Record<string, Omit<NewKey, 'name'>>;

const make = (maker: Principal, wanted: Omit<NewKey, 'name'>) =>
  restrictNewKey(maker, checkNewKey({ name: 'new', ...wanted }), NOW);
const refused = (work: () => unknown) => {
  try {
    work();
    return 'made';
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('a key with the scope keys makes', () => {
  it.each([
    ['everything, as an administrator', administrator, Object.keys(KINDS)],
    ['keys of its own customers, as an organisation', acme, ['own customer', 'another own customer']],
    ['keys of itself, as a customer', ann, ['own customer']],
  ])('%s', (_what, maker, expected) => {
    const made = Object.entries(KINDS).filter(([, wanted]) => {
      const outcome = refused(() => make(maker, { ...wanted, scopes: ['read'] }));
      expect(['made', 'forbidden']).toContain(outcome);
      return outcome === 'made';
    });
    expect(made.map(([kind]) => kind)).toEqual(expected);
  });

  it.each([administrator, acme, ann])('none with a scope that it has not: %j', (maker) => {
    const scopes = SCOPES.filter((scope) => scope !== 'files' && maker.scopes.has(scope));
    const lesser = { ...maker, scopes: new Set(scopes) };
    expect(make(lesser, { ...KINDS['own customer'], scopes })).toMatchObject({ scopes });
    expect(refused(() => make(lesser, { ...KINDS['own customer'], scopes: ['files'] }))).toBe('forbidden');
    expect(refused(() => make(lesser, { ...KINDS['own customer'], scopes: SCOPES }))).toBe('forbidden');
    const usual = make(lesser, KINDS['own customer']).scopes;
    expect(usual).toEqual(defaultScopes('customer').filter((scope) => scope !== 'files'));
    const without = { ...maker, scopes: new Set(SCOPES.filter((scope) => scope !== 'keys')) };
    expect(refused(() => make(without, { ...KINDS['own customer'], scopes: ['read'] }))).toBe('forbidden');
  });

  it('none without a scope, when it has none of the usual ones to give', () => {
    const only = withScopes('organisation', ['keys']);
    expect(refused(() => make(only, KINDS['own customer']))).toBe('forbidden');
    expect(make(only, { ...KINDS['own customer'], scopes: ['keys'] })).toMatchObject({ scopes: ['keys'] });
  });

  it.each([
    [DAY_MS - 1, 'made'],
    [DAY_MS, 'made'],
    [DAY_MS + 1, 'forbidden'],
  ])('none that is good for longer than itself: %i ms of a day', (expiresInMs, expected) => {
    const brief = { ...acme, expiresAt: NOW + DAY_MS };
    expect(refused(() => make(brief, { ...KINDS['own customer'], expiresInMs }))).toBe(expected);
    expect(make(brief, KINDS['own customer'])).toMatchObject({ expiresInMs: DAY_MS });
    expect(make(acme, KINDS['own customer'])).not.toHaveProperty('expiresInMs');
  });
});

describe('a key is seen and revoked', () => {
  const info = (id: string, role: Role, org: typeof ACME, customer?: string): KeyInfo => ({
    id,
    name: id,
    role,
    org,
    prefix: 'msb_00000000',
    scopes: defaultScopes(role),
    createdAt: new Date(NOW).toISOString(),
    active: true,
    ...(customer === undefined ? {} : { customer: parseCustomerId(customer) }),
  });
  const keys = [
    info('key_admin', 'administrator', DEFAULT_ORGANISATION),
    info('key_acme', 'organisation', ACME),
    info('key_box', 'organisation', BOX),
    info('key_ann', 'customer', ACME, 'acme.ann'),
    info('key_bob', 'customer', ACME, 'acme.bob'),
    info('key_boxann', 'customer', BOX, 'box.ann'),
  ];
  const ids = (found: readonly KeyInfo[]) => found.map(({ id }) => id);

  it.each([
    ['an administrator', administrator, ids(keys), ids(keys)],
    ['an organisation', acme, ['key_acme', 'key_ann', 'key_bob'], ['key_ann', 'key_bob']],
    [
      'an organisation, of itself',
      { ...acme, keyId: 'key_acme' },
      ['key_acme', 'key_ann', 'key_bob'],
      ['key_acme', 'key_ann', 'key_bob'],
    ],
    ['a customer', ann, ['key_ann'], ['key_ann']],
  ])('by %s', (_who, principal, seen, revoked) => {
    expect(ids(keys.filter((key) => maySeeKey(principal, key)))).toEqual(seen);
    expect(ids(keys.filter((key) => refused(() => assertMayRevoke(principal, key)) === 'made'))).toEqual(revoked);
    const without = { ...principal, scopes: new Set(SCOPES.filter((scope) => scope !== 'keys')) };
    for (const key of keys) expect(refused(() => assertMayRevoke(without, key))).toBe('forbidden');
  });
});
