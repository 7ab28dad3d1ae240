import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, MAX_FRAME_BYTES, type RawFrame } from '../../../src/protocol/agent-frames.ts';

const frame = (id: number, flags: number, body: string): RawFrame => ({ id, flags, body: Buffer.from(body, 'hex') });
const decode = (...chunks: Uint8Array[]): RawFrame[] => {
  const decoder = new FrameDecoder();
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]).map(plain);
};
const plain = ({ id, flags, body }: RawFrame) => frame(id, flags, Buffer.from(body).toString('hex'));

describe('a frame', () => {
  // Length of what follows, id, flags, body; the numbers big-endian.
  it.each([
    [frame(1, 0, ''), '00000005 00000001 00'],
    [frame(0xffffffff, 7, 'a0'), '00000006 ffffffff 07 a0'],
    [frame(0x01020304, 2, 'deadbeef'), '00000009 01020304 02 deadbeef'],
  ])('has these bytes: %j', (value, hex) => {
    const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
    expect(Buffer.from(encodeFrame(value)).toString('hex')).toBe(bytes.toString('hex'));
    expect(decode(bytes)).toEqual([value]);
  });

  it('may be as large as the limit, and not larger', () => {
    const largest = encodeFrame({ id: 1, flags: 0, body: new Uint8Array(MAX_FRAME_BYTES - 5) });
    expect(largest.byteLength).toBe(MAX_FRAME_BYTES + 4);
    expect(decode(largest)).toHaveLength(1);
    expect(() => encodeFrame({ id: 1, flags: 0, body: new Uint8Array(MAX_FRAME_BYTES - 4) })).toThrow(RangeError);
  });
});

describe('a stream of frames', () => {
  const frames = [frame(1, 2, 'a0'), frame(2, 0, ''), frame(3, 1, '00'.repeat(300)), frame(1, 1, 'ffff')];
  const stream = Buffer.concat(frames.map(encodeFrame));

  it('is the same wherever it is split in two', () => {
    for (let at = 0; at <= stream.length; at++) {
      expect(decode(stream.subarray(0, at), stream.subarray(at))).toEqual(frames);
    }
  });

  it.each([1, 2, 3, 7, 64])('is the same in chunks of %i bytes', (size) => {
    const chunks = [];
    for (let at = 0; at < stream.length; at += size) chunks.push(stream.subarray(at, at + size));
    expect(decode(...chunks)).toEqual(frames);
  });

  it('keeps what is not a whole frame yet', () => {
    const decoder = new FrameDecoder();
    expect([...decoder.push(stream.subarray(0, 7))]).toEqual([]);
    expect(decoder.pendingBytes).toBe(7);
    expect([...decoder.push(stream.subarray(7))]).toHaveLength(4);
    expect(decoder.pendingBytes).toBe(0);
  });

  it.each([
    [0, true],
    [4, true],
    [5, false],
    [MAX_FRAME_BYTES, false],
    [MAX_FRAME_BYTES + 1, true],
    [0xffffffff, true],
  ])('that claims a frame of %i bytes is refused before the bytes come: %s', (length, refused) => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(length);
    if (refused) expect(() => decode(header)).toThrow(RangeError);
    else expect(decode(header)).toEqual([]);
  });
});
