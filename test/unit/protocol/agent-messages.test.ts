import { describe, expect, it } from 'vitest';
import { decodeMessage, encodeAnyMessage, encodeMessage } from '../../../src/protocol/agent-messages.ts';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const hex = (data: Uint8Array) => Buffer.from(data).toString('hex');
const text = (value: string) => hex(Buffer.from(value));
/** `{v: 7, t: type, p: payload}` by RFC 8949: a map of three, of text, and of a byte string that holds CBOR itself. */
const envelope = (type: string, payload: string) => {
  const length = payload.length / 2;
  const head = length < 24 ? (0x40 + length).toString(16) : `58${length.toString(16).padStart(2, '0')}`;
  return `a3 6176 07 6174 ${(0x60 + type.length).toString(16)}${text(type)} 6170 ${head}${payload}`.replaceAll(' ', '');
};

describe('a message', () => {
  it.each([
    ['core.ping', {}, 'a0'],
    ['core.exec.exited', { code: 3 }, `a1 64${text('code')} 03`],
    ['core.exec.signal', { signal: 9 }, `a1 66${text('signal')} 09`],
    ['core.exec.stdout', { data: Buffer.from('hi') }, `a1 64${text('data')} 42${text('hi')}`],
    ['core.exec.stdin', { data: Buffer.alloc(0) }, `a1 64${text('data')} 40`],
  ] as const)('is CBOR in CBOR: %s', (type, payload, payloadHex) => {
    const body = envelope(type, payloadHex.replaceAll(' ', ''));
    expect(hex(encodeAnyMessage(5, type, payload).body)).toBe(body);
    const message = decodeMessage({ id: 5, flags: 0, body: bytes(body) });
    expect(message).toMatchObject({ id: 5, version: 7, type });
    expect(message?.payload).toEqual(payload);
  });

  it('is read in every form that CBOR has for it', () => {
    // A map of unknown length, a version in four bytes, a type whose length takes two.
    const body = `bf 6176 1a00000007 6174 7809${text('core.ping')} 6170 5801a0 ff`;
    expect(decodeMessage({ id: 1, flags: 0, body: bytes(body) })).toMatchObject({
      version: 7,
      type: 'core.ping',
      payload: {},
    });
  });

  it('keeps numbers beyond 32 bits as numbers', () => {
    const body = envelope('core.ready', `a1 61${text('n')} 1b0000000200000001`.replaceAll(' ', ''));
    expect(decodeMessage({ id: 1, flags: 0, body: bytes(body) })?.payload).toEqual({ n: 2 ** 33 + 1 });
  });

  it.each([
    [2 ** 32 - 1, '1affffffff'],
    [2 ** 32, '1b0000000100000000'],
    [5_219_346_773, '1b000000013718e955'],
    [-(2 ** 32) - 1, '3b0000000100000000'],
  ])('has integers for whole numbers, however large: %d', (size, encoded) => {
    const frame = encodeAnyMessage(1, 'core.fs.response', { ok: true, data: { List: [{ size }] } });
    expect(hex(frame.body)).toContain(`${text('size')}${encoded}`);
  });

  it.each([
    ['core.tcp.connect', 2],
    ['core.tcp.closed', 1],
    ['core.tcp.failed', 1],
    ['core.tcp.data', 0],
    ['core.exec.request', 2],
    ['core.fs.request', 2],
    ['core.exec.exited', 1],
    ['core.exec.failed', 1],
    ['core.fs.response', 1],
    ['core.error', 1],
    ['core.pong', 1],
    ['core.shutdown', 4],
    ['core.exec.stdout', 0],
    ['core.fs.data', 0],
  ] as const)('says in its flags what it is to its session: %s is %i', (type, flags) => {
    expect(encodeAnyMessage(1, type, {}).flags).toBe(flags);
  });

  it('comes back as it went', () => {
    const request = { cmd: 'sh', args: ['-c', 'ünï'], env: ['A=b'], cwd: null, tty: false, rows: 24, rlimits: [] };
    const frame = encodeMessage(9, 'core.exec.request', request);
    expect(decodeMessage(frame)).toEqual({ id: 9, flags: 2, version: 7, type: 'core.exec.request', payload: request });
  });

  it.each([
    [2 ** 32 - 1, '1affffffff'],
    [2 ** 32, '1b0000000100000000'],
    [0x1_2345_6789, '1b0000000123456789'],
    [1.5, 'fb3ff8000000000000'],
  ])('holds the integer %d as one, however large', (value, hex) => {
    const { body } = encodeAnyMessage(1, 'x', { a: value, b: [{ c: value }] });
    expect(Buffer.from(body).toString('hex').split(hex)).toHaveLength(3);
    expect(decodeMessage({ id: 1, flags: 0, body })?.payload).toEqual({ a: value, b: [{ c: value }] });
  });

  it.each([
    ['nothing', ''],
    ['half of a message', envelope('core.ping', 'a0').slice(0, 20)],
    ['not a map', '83010203'],
    ['null', 'f6'],
    ['no type', 'a2 6176 07 6170 41a0'],
    ['a payload that is no byte string', `a3 6176 07 6174 61${text('x')} 6170 a0`],
    ['a payload that is no CBOR', `a3 6176 07 6174 61${text('x')} 6170 4118`],
    ['a length beyond the end', 'bb ffffffffffffffff'],
    ['an array without end in the envelope', '9bffffffffffffffff'],
  ])('is not made of %s', (_what, body) => {
    expect(decodeMessage({ id: 1, flags: 0, body: bytes(body) })).toBeUndefined();
  });
});
