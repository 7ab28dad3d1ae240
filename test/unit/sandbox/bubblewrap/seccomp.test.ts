import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { seccompFilter } from '../../../../src/sandbox/drivers/bubblewrap/seccomp.ts';
import { type Architecture, DENIED, numberOf } from '../../../../src/sandbox/drivers/bubblewrap/system-calls.ts';

const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
const KILLED = 'killed';
const ALLOWED = 'allowed';

/** What the kernel would do: the instructions of `linux/filter.h` that the filter may use, and no others. */
function judge(filter: Buffer, arch: number, number: number, args: readonly number[] = []): string {
  const data = new Map([[0, number], [4, arch], ...args.map((value, index) => [16 + 8 * index, value] as const)]);
  let accumulator = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const code = filter.readUInt16LE(at);
    const value = filter.readUInt32LE(at + 4);
    const jump = (taken: boolean) => {
      at += 8 * filter.readUInt8(at + (taken ? 2 : 3));
    };
    if (code === 0x20) accumulator = (data.get(value) ?? 0) >>> 0;
    else if (code === 0x15) jump(accumulator === value);
    else if (code === 0x35) jump(accumulator >= value);
    else if (code === 0x45) jump((accumulator & value) !== 0);
    else if (code === 0x06) return verdict(value);
    else throw new Error(`Instruction ${code}`);
  }
  throw new Error('The filter ends without a verdict');
}

function verdict(value: number): string {
  if (value === 0x80000000) return KILLED;
  if (value === 0x7fff0000) return ALLOWED;
  const found = Object.entries(constants.errno).find(([, errno]) => errno === (value & 0xffff));
  return value >>> 16 === 5 && found !== undefined ? found[0] : `verdict ${value}`;
}

const calls = (architecture: Architecture) =>
  DENIED.flatMap((group) =>
    Object.entries(group.calls).map(([name, numbers]) => [name, numberOf(numbers, architecture), group.errno] as const),
  );

describe.each(['x64', 'arm64'] as const)('the filter for %s', (architecture) => {
  const filter = seccompFilter({ architecture, pinned: false });
  const arch = AUDIT_ARCH[architecture];
  const of = { x64: { clone: 56, ioctl: 16, socket: 41, personality: 135, read: 0, affinity: 203 } }.x64;
  const on = { clone: 220, ioctl: 29, socket: 198, personality: 92, read: 63, affinity: 122 };
  const numbers = architecture === 'x64' ? of : on;

  it('denies every call of the table, with its error', () => {
    for (const [name, number, errno] of calls(architecture))
      if (number !== null) expect([name, judge(filter, arch, number)]).toEqual([name, errno]);
  });

  it('lets every other call pass', () => {
    const denied = calls(architecture).map(([, number]) => number);
    for (let number = 0; number < 500; number++) {
      if (denied.includes(number) || [numbers.socket, numbers.personality].includes(number)) continue;
      expect([number, judge(filter, arch, number)]).toEqual([number, ALLOWED]);
    }
  });

  it('ends who calls as another architecture', () => {
    for (const other of [0x40000003, 0x40000028, AUDIT_ARCH[architecture === 'x64' ? 'arm64' : 'x64']])
      expect(judge(filter, other, numbers.read)).toBe(KILLED);
  });

  it.each([0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])(
    'denies clone with the namespace flag %i, alone and among others',
    (flag) => {
      expect(judge(filter, arch, numbers.clone, [flag])).toBe('EPERM');
      expect(judge(filter, arch, numbers.clone, [flag | 0x11])).toBe('EPERM');
    },
  );

  it('lets processes and threads be started', () => {
    for (const flags of [0x11, 0x01200011, 0x003d0f00])
      expect(judge(filter, arch, numbers.clone, [flags])).toBe(ALLOWED);
  });

  it('denies putting words into a terminal, and no other request', () => {
    expect([0x5412, 0x541c, 0x5413].map((request) => judge(filter, arch, numbers.ioctl, [0, request]))).toEqual([
      'EPERM',
      'EPERM',
      ALLOWED,
    ]);
  });

  it('has sockets of four families', () => {
    const families = Array.from({ length: 46 }, (_, family) => family);
    const open = families.filter((family) => judge(filter, arch, numbers.socket, [family]) === ALLOWED);
    expect(open).toEqual([1, 2, 10, 16]);
    expect(judge(filter, arch, numbers.socket, [40])).toBe('EAFNOSUPPORT');
  });

  it('denies other personalities', () => {
    expect([0, 0xffffffff, 0x0040000].map((persona) => judge(filter, arch, numbers.personality, [persona]))).toEqual([
      ALLOWED,
      ALLOWED,
      'EPERM',
    ]);
  });

  it('keeps a guest on its processors where that is its limit', () => {
    expect(judge(filter, arch, numbers.affinity)).toBe(ALLOWED);
    expect(judge(seccompFilter({ architecture, pinned: true }), arch, numbers.affinity)).toBe('EPERM');
  });
});

it('ends who calls by the numbers of x32', () => {
  const filter = seccompFilter({ architecture: 'x64', pinned: false });
  expect(judge(filter, AUDIT_ARCH.x64, 0x40000000)).toBe(KILLED);
  expect(judge(filter, AUDIT_ARCH.x64, 0x40000000 + 165)).toBe(KILLED);
  expect(judge(filter, AUDIT_ARCH.x64, 0x3fffffff)).toBe(ALLOWED);
});
