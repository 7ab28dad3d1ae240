import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { issueLegacyToken, legacyCredential, verifyLegacyToken } from '../../../src/sandbox/legacy-token.ts';
import { Secret } from '../../../src/util/secret.ts';

const SECRET = new Secret('a'.repeat(64));
const NOW = Date.UTC(2026, 0, 1);
const issue = (namespace: string, expiresInMs = 60_000) =>
  issueLegacyToken({ namespace, expiresInMs, now: NOW }, SECRET).reveal();
const verify = (token: string, now = NOW) => verifyLegacyToken(token, SECRET, now);
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = { namespace: 'acme', iat: NOW / 1000, exp: NOW / 1000 + 60 };
/** A token whose signature is good, whatever it says. */
const signed = (header: unknown, body: unknown, algorithm = 'sha256') => {
  const text = `${encode(header)}.${encode(body)}`;
  return `msb_${text}.${createHmac(algorithm, SECRET.reveal()).update(text).digest('base64url')}`;
};

describe('a token', () => {
  it('says which namespace it is good for, and until when', () => {
    expect(verify(issue('acme'))).toEqual(claims);
    expect(verify(issue('*'))).toMatchObject({ namespace: '*' });
    expect(verify(signed({ alg: 'HS256' }, { ...claims, more: 1 }))).toEqual(claims);
  });

  it('is good until the second in which it expires', () => {
    expect(verify(issue('acme'), NOW + 59_999)).toBeDefined();
    expect(verify(issue('acme'), NOW + 60_000)).toBeUndefined();
  });

  it.each([
    ['another algorithm', signed({ alg: 'HS512' }, claims, 'sha512')],
    ['another algorithm by name only', signed({ alg: 'HS384' }, claims)],
    ['no algorithm', signed({ alg: 'none' }, claims)],
    ['no algorithm and no signature', `msb_${encode({ alg: 'none' })}.${encode(claims)}.`],
    ['no header', signed('HS256', claims)],
    ['no namespace', signed({ alg: 'HS256' }, { ...claims, namespace: undefined })],
    ['an empty namespace', signed({ alg: 'HS256' }, { ...claims, namespace: '' })],
    ['no expiry', signed({ alg: 'HS256' }, { ...claims, exp: undefined })],
    ['an expiry that is text', signed({ alg: 'HS256' }, { ...claims, exp: '9999999999' })],
    ['no prefix', issue('acme').slice(4)],
    ['more behind it', `${issue('acme')}.x`],
    ['a length beyond all use', `msb_${'a'.repeat(10_000)}`],
    ['nothing', ''],
  ])('is not good with %s', (_what, token) => {
    expect(verify(token)).toBeUndefined();
  });

  it('is not good with any one character changed, nor under another secret', () => {
    const token = issue('acme');
    for (let at = 4; at < token.length; at++) {
      const changed = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
      expect(verify(changed), `changed at ${at}`).toBeUndefined();
    }
    // Every other spelling of the last character means the same bytes.
    for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_') {
      if (last !== token.at(-1)) expect(verify(token.slice(0, -1) + last)).toBeUndefined();
    }
    expect(verifyLegacyToken(token, new Secret('b'.repeat(64)), NOW)).toBeUndefined();
  });
});

describe('the key of a JSON-RPC request', () => {
  it.each([
    [{ 'proxy-authorization': 'Bearer one', authorization: 'Bearer two' }, 'one'],
    [{ 'proxy-authorization': 'one' }, 'one'],
    [{ authorization: 'Bearer two' }, 'two'],
    [{ authorization: 'bearer  two ' }, 'two'],
    [{ authorization: 'two' }, 'two'],
    [{ authorization: '' }, undefined],
    [{ authorization: 'Bearer ' }, undefined],
    [{}, undefined],
  ])('is found in %j', (headers, key) => {
    expect(legacyCredential(headers)).toBe(key);
  });
});
