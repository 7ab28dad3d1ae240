import { describe, expect, it } from 'vitest';
import { customerOf } from '../../../src/core/customer-of.ts';
import { customerIdOf, organisationOf, parseCustomerId } from '../../../src/core/ids.ts';
import { ALL_SCOPES, DEFAULT_ORGANISATION, type Principal, type Role } from '../../../src/core/principal.ts';

const LONGEST = 'a'.repeat(63);

describe('the id of a customer', () => {
  it.each(['a', '0', 'Ann', 'a-b_c', LONGEST, 'acme.ann', 'Acme.0', `${LONGEST}.${LONGEST}`, 'x.default', 'Default.x'])(
    'may be %s, and is read as it is',
    (id) => expect(parseCustomerId(id)).toBe(id),
  );

  it.each([
    '',
    '.',
    '..',
    '.a',
    'a.',
    'a..b',
    'a.b.c',
    '_a',
    '-a',
    'a._b',
    '../a',
    'a/b',
    'a.b/c',
    'a\0',
    'a.b\n',
    'ä',
    `${LONGEST}a`,
    `${LONGEST}a.a`,
    `a.${LONGEST}a`,
    'default.a',
    7,
    null,
    ['a.b'],
  ])('may not be %j', (id) => {
    expect(() => parseCustomerId(id)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  it('tells the organisation, and is made from it', () => {
    expect(organisationOf(parseCustomerId('acme.ann'))).toBe('acme');
    expect(organisationOf(parseCustomerId('ann'))).toBe('default');
    expect(customerIdOf('acme', 'ann')).toBe('acme.ann');
    expect(customerIdOf('default', 'ann')).toBe('ann');
    expect(() => customerIdOf('acme', 'x.ann')).toThrow(/not valid/);
    expect(() => customerIdOf('a.b', 'ann')).toThrow(/not valid/);
  });
});

describe('a key', () => {
  const acme = { id: '00000000-0000-4000-8000-00000000000a', name: 'acme' };
  const principal = (role: Role, org = acme, customer?: string): Principal => ({
    role,
    org,
    scopes: ALL_SCOPES,
    ...(customer === undefined ? {} : { customer: parseCustomerId(customer) }),
  });
  const FOREIGN = 'not_found';
  const outcome = (who: Principal, id: string) => {
    try {
      return customerOf(who, id) as string;
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it.each([
    [
      'an administrator',
      principal('administrator', DEFAULT_ORGANISATION),
      { ann: 'ann', 'acme.ann': 'acme.ann', 'box.ann': 'box.ann' },
    ],
    ["another organisation's administrator", principal('administrator'), { ann: 'ann', 'acme.ann': 'acme.ann' }],
    ['the default organisation', principal('organisation', DEFAULT_ORGANISATION), { ann: 'ann', 'acme.ann': FOREIGN }],
    [
      'an organisation',
      principal('organisation'),
      { ann: 'acme.ann', 'acme.ann': 'acme.ann', 'box.ann': FOREIGN, 'Acme.ann': FOREIGN, 'acm.ann': FOREIGN },
    ],
    [
      'a customer',
      principal('customer', acme, 'acme.ann'),
      { ann: 'acme.ann', 'acme.ann': 'acme.ann', bob: FOREIGN, 'acme.bob': FOREIGN, 'box.ann': FOREIGN, Ann: FOREIGN },
    ],
    [
      'a customer of the default organisation',
      principal('customer', DEFAULT_ORGANISATION, 'ann'),
      { ann: 'ann', bob: FOREIGN, 'acme.ann': FOREIGN },
    ],
  ])('of %s means its own customers, and finds no others', (_who, who, ids) => {
    for (const [id, expected] of Object.entries(ids)) expect(outcome(who, id), id).toBe(expected);
    for (const id of ['', '../x', 'a.b.c', 'default.ann']) expect(outcome(who, id), id).toBe('invalid_argument');
  });
});
