import { describe, expect, it } from 'vitest';
import { resolveAccount } from '../../../src/guest/agentd/accounts.ts';

const files = {
  passwd: [
    'root:x:0:0:root:/root:/bin/sh',
    '',
    'nonsense',
    'app:x:1000:1001:App:/home/app:/bin/sh',
    'bare:x:7:8:::',
  ].join('\n'),
  group: ['root:x:0:', 'app:x:1001:', 'wheel:x:10:root,app', 'audio:x:29:app', 'appendix:x:30:apple'].join('\n'),
};

describe('an account', () => {
  it.each([
    ['app', { uid: 1000, gid: 1001, groups: [1001, 10, 29], home: '/home/app' }],
    ['1000', { uid: 1000, gid: 1001, groups: [1001, 10, 29], home: '/home/app' }],
    [' app : wheel ', { uid: 1000, gid: 10, groups: [10, 29], home: '/home/app' }],
    ['app:29', { uid: 1000, gid: 29, groups: [29, 10], home: '/home/app' }],
    ['bare', { uid: 7, gid: 8, groups: [8], home: undefined }],
    ['4242', { uid: 4242, gid: 0, groups: [], home: undefined }],
    ['4242:4343', { uid: 4242, gid: 4343, groups: [], home: undefined }],
    ['4294967295', { uid: 4294967295, gid: 0, groups: [], home: undefined }],
  ])('is found by %j', (spec, account) => {
    expect(resolveAccount(spec, files)).toEqual(account);
  });

  it.each([
    ['nemo', 'guest user not found: nemo'],
    ['4294967296', 'guest user not found: 4294967296'],
    ['nonsense', 'guest user not found: nonsense'],
    ['app:nemo', 'guest group not found: nemo'],
    ['app:', 'user spec has empty group'],
    [':app', 'user spec has empty user'],
    ['', 'user spec has empty user'],
  ])('is not found by %j', (spec, message) => {
    expect(() => resolveAccount(spec, files)).toThrow(message);
  });
});
