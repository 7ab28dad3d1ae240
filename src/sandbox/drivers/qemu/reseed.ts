import { elfProgram } from '../../guest-runtime/elf-program.ts';

/**
 * The guest's `reseed`: reads a `struct timespec` from standard input, sets the clock to it, and makes the kernel derive
 * its random numbers anew from its pool.
 *
 * Neither can be done from a script: no small userland has a command for RNDRESEEDCRNG, and Debian's kernel has no
 * driver for the virtual machine generation id that would do it by itself. Without it every restored copy of a template
 * hands out the same random numbers. It is six system calls, so it is assembled here instead of asking for a compiler.
 */
export function reseedProgram(): Uint8Array {
  return elfProgram(CODE);
}

// System V AMD64; numbers of system calls from arch/x86/entry/syscalls/syscall_64.tbl.
const CODE = Buffer.from(
  [
    '4883ec10', //         sub   rsp, 16
    '31ff', //             xor   edi, edi            read(0, rsp, 16)
    '4889e6', //           mov   rsi, rsp
    'ba10000000', //       mov   edx, 16
    '31c0', //             xor   eax, eax
    '0f05', //             syscall
    '83f810', //           cmp   eax, 16
    '753f', //             jne   fail
    '31ff', //             xor   edi, edi            clock_settime(CLOCK_REALTIME, rsp)
    '4889e6', //           mov   rsi, rsp
    'b8e3000000', //       mov   eax, 227
    '0f05', //             syscall
    '85c0', //             test  eax, eax
    '752f', //             jne   fail
    '488d3d34000000', //   lea   rdi, [rip+path]     open("/dev/urandom", O_WRONLY)
    'be01000000', //       mov   esi, 1
    'b802000000', //       mov   eax, 2
    '0f05', //             syscall
    '85c0', //             test  eax, eax
    '7818', //             js    fail
    '89c7', //             mov   edi, eax            ioctl(fd, RNDRESEEDCRNG, 0)
    'be07520000', //       mov   esi, 0x5207
    '31d2', //             xor   edx, edx
    'b810000000', //       mov   eax, 16
    '0f05', //             syscall
    '85c0', //             test  eax, eax
    '7504', //             jne   fail
    '31ff', //             xor   edi, edi
    'eb05', //             jmp   exit
    'bf01000000', // fail: mov   edi, 1
    'b83c000000', // exit: mov   eax, 60
    '0f05', //             syscall
    '2f6465762f7572616e646f6d00', // path: "/dev/urandom"
  ].join(''),
  'hex',
);
