import { LAUNCH_MEMORY } from '../../protocol/launch-plan.ts';
import { elfProgram } from './elf-program.ts';

/**
 * The guest's `launch`: performs the system calls of a `LaunchPlan`, which it reads from descriptor 3.
 *
 * Node can neither give a process a terminal nor limits nor groups, and an image need not hold a program that does. What
 * is to be called is decided in the agent; this only calls it, in a process of its own that then becomes the command.
 */
export function launchProgram(): Uint8Array {
  return elfProgram(CODE, LAUNCH_MEMORY);
}

// System V AMD64; numbers of system calls from arch/x86/entry/syscalls/syscall_64.tbl.
const CODE = Buffer.from(
  [
    'bb00000010', //          mov  ebx, 0x10000000
    'bf03000000', // more:    mov  edi, 3              read(3, ebx, the room that is left)
    '89de', //                mov  esi, ebx
    'ba00008010', //          mov  edx, 0x10800000
    '29da', //                sub  edx, ebx
    '31c0', //                xor  eax, eax
    '0f05', //                syscall
    '85c0', //                test eax, eax
    '7861', //                js   give_up
    '7404', //                jz   got
    '01c3', //                add  ebx, eax
    'ebe4', //                jmp  more
    'bf03000000', // got:     mov  edi, 3              fcntl(3, F_SETFD, FD_CLOEXEC)
    'be02000000', //          mov  esi, 2
    'ba01000000', //          mov  edx, 1
    'b848000000', //          mov  eax, 72
    '0f05', //                syscall
    'bb00000010', //          mov  ebx, 0x10000000
    '488b03', // next:        mov  rax, [rbx]          one record
    '488b7b08', //            mov  rdi, [rbx+8]
    '488b7310', //            mov  rsi, [rbx+16]
    '488b5318', //            mov  rdx, [rbx+24]
    '4c8b5320', //            mov  r10, [rbx+32]
    '4c8b4328', //            mov  r8, [rbx+40]
    '0f05', //                syscall
    '483d00f0ffff', //        cmp  rax, -4096
    '762b', //                jbe  done
    'f7d8', //                neg  eax
    '3b4330', //              cmp  eax, [rbx+48]       tolerated
    '7424', //                je   done
    '894334', //              mov  [rbx+52], eax
    'bf03000000', //          mov  edi, 3              write(3, errno and tag, 8)
    '488d7334', //            lea  rsi, [rbx+52]
    'ba08000000', //          mov  edx, 8
    'b801000000', //          mov  eax, 1
    '0f05', //                syscall
    'bf7f000000', // give_up: mov  edi, 127            exit_group(127)
    'b8e7000000', //          mov  eax, 231
    '0f05', //                syscall
    '4883c340', // done:      add  rbx, 64
    'ebae', //                jmp  next
  ].join(''),
  'hex',
);
