import { constants } from 'node:os';
import { type Architecture, CHECKED, DENIED, numberOf, PINNING } from './system-calls.ts';

export interface SeccompOptions {
  readonly architecture: Architecture;
  /** True denies changing the processors that a process runs on. */
  readonly pinned: boolean;
}

/** Offsets in `struct seccomp_data` (seccomp(2)); both architectures are little-endian. */
const NUMBER = 0;
const ARCHITECTURE = 4;
const argument = (index: number): number => 16 + 8 * index;

/** `linux/audit.h` */
const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7 } as const;
/** Set in the number of a call of the x32 kind, which would pass by numbers that the table does not know. */
const X32_BIT = 0x40000000;

/** `linux/seccomp.h` */
const KILL_PROCESS = 0x80000000;
const ERRNO = 0x00050000;
const ALLOW = 0x7fff0000;

/** `linux/bpf_common.h` */
const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_SET = 0x45;
const RETURN = 0x06;

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
const NAMESPACE_FLAGS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;
/** TIOCSTI and TIOCLINUX put words into the mouth of whoever shares the terminal. */
const TERMINAL_INPUT = [0x5412, 0x541c];
/** UNIX, INET, INET6, NETLINK. Others are not bound to the network namespace (VSOCK) or are rarely tried code. */
const SOCKET_FAMILIES = [1, 2, 10, 16];
/** Linux as it is, and the question which one it is; others switch off what makes exploits hard. */
const PERSONALITIES = [0, 0xffffffff];

interface Instruction {
  readonly code: number;
  readonly whenTrue?: number;
  readonly whenFalse?: number;
  readonly value: number;
}

/** The filter as the bytes of a `struct sock_filter[]`. A call of another architecture ends the process. */
export function seccompFilter({ architecture, pinned }: SeccompOptions): Buffer {
  return encode([
    { code: LOAD, value: ARCHITECTURE },
    { code: JUMP_EQUAL, whenTrue: 1, value: AUDIT_ARCH[architecture] },
    { code: RETURN, value: KILL_PROCESS },
    { code: LOAD, value: NUMBER },
    ...(architecture === 'x64' ? when(JUMP_AT_LEAST, X32_BIT, KILL_PROCESS) : []),
    ...[...DENIED, ...(pinned ? [PINNING] : [])].flatMap(({ calls, errno }) =>
      Object.values(calls).flatMap((numbers) => {
        const number = numberOf(numbers, architecture);
        return number === null ? [] : when(JUMP_EQUAL, number, fail(errno));
      }),
    ),
    ...checked(architecture),
    { code: RETURN, value: ALLOW },
  ]);
}

function checked(architecture: Architecture): Instruction[] {
  const of = (name: keyof typeof CHECKED) => numberOf(CHECKED[name], architecture) ?? 0;
  return [
    ...only(of('clone'), 0, [...when(JUMP_SET, NAMESPACE_FLAGS, fail('EPERM')), { code: RETURN, value: ALLOW }]),
    ...only(of('ioctl'), 1, [
      ...TERMINAL_INPUT.flatMap((request) => when(JUMP_EQUAL, request, fail('EPERM'))),
      { code: RETURN, value: ALLOW },
    ]),
    ...only(of('socket'), 0, [
      ...SOCKET_FAMILIES.flatMap((family) => when(JUMP_EQUAL, family, ALLOW)),
      { code: RETURN, value: fail('EAFNOSUPPORT') },
    ]),
    ...only(of('personality'), 0, [
      ...PERSONALITIES.flatMap((persona) => when(JUMP_EQUAL, persona, ALLOW)),
      { code: RETURN, value: fail('EPERM') },
    ]),
  ];
}

/** `body` judges one argument of one call and always returns; any other call goes past it. */
function only(number: number, index: number, body: readonly Instruction[]): Instruction[] {
  return [
    { code: JUMP_EQUAL, whenFalse: body.length + 1, value: number },
    { code: LOAD, value: argument(index) },
    ...body,
  ];
}

function when(test: number, value: number, action: number): Instruction[] {
  return [
    { code: test, whenFalse: 1, value },
    { code: RETURN, value: action },
  ];
}

function fail(errno: 'EPERM' | 'ENOSYS' | 'EAFNOSUPPORT'): number {
  return ERRNO | constants.errno[errno];
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(({ code, whenTrue = 0, whenFalse = 0, value }, index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(whenTrue, index * 8 + 2);
    bytes.writeUInt8(whenFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  });
  return bytes;
}
