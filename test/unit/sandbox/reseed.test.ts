import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { reseedProgram } from '../../../src/sandbox/drivers/qemu/reseed.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let program: string;

beforeAll(async () => {
  folder = await tempFolder();
  program = join(folder.path, 'reseed');
  writeFileSync(program, reseedProgram());
  chmodSync(program, 0o755);
});

afterAll(() => folder[Symbol.asyncDispose]());

// Never with 16 bytes: it would set the clock of this machine.
it.each([0, 1, 8, 15])(
  'the program that reseeds a guest fails with %i bytes of time, and changes nothing',
  (length) => {
    const before = Date.now();
    const { status, signal, stdout, stderr } = spawnSync(program, { input: Buffer.alloc(length) });
    expect({ status, signal, output: `${stdout}${stderr}` }).toEqual({ status: 1, signal: null, output: '' });
    expect(Date.now() - before).toBeLessThan(10_000);
  },
);

it('the program that reseeds a guest is a static x86-64 executable without anything else', () => {
  const bytes = Buffer.from(reseedProgram());
  expect(bytes.subarray(0, 5).toString('latin1')).toBe('\x7fELF\x02');
  expect({ type: bytes.readUInt16LE(16), machine: bytes.readUInt16LE(18), segments: bytes.readUInt16LE(56) }).toEqual({
    type: 2,
    machine: 62,
    segments: 1,
  });
  // The one segment is the file, as a whole, readable and executable.
  expect({ flags: bytes.readUInt32LE(68), offset: bytes.readBigUInt64LE(72), size: bytes.readBigUInt64LE(96) }).toEqual(
    {
      flags: 5,
      offset: 0n,
      size: BigInt(bytes.length),
    },
  );
  expect(bytes.readBigUInt64LE(24) - bytes.readBigUInt64LE(80)).toBe(120n);
  expect(bytes.subarray(-13).toString('latin1')).toBe('/dev/urandom\0');
});

it('the program that reseeds a guest names its path where its code looks for it', () => {
  const bytes = Buffer.from(reseedProgram());
  // `lea rdi, [rip+n]`: n counts from the instruction after it.
  const at = bytes.indexOf(Buffer.from('488d3d', 'hex'));
  expect(at + 7 + bytes.readInt32LE(at + 3)).toBe(bytes.indexOf('/dev/urandom'));
});
