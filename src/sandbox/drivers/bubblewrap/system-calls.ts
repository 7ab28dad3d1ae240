/**
 * The system calls that a guest is denied, which is what keeps the shared kernel small.
 *
 * A deny-list, because programs may be anything: what is listed either reaches beyond the guest's namespaces, needs a right
 * that no guest has, or is where kernels were broken into most often. Everything else is left to the namespaces.
 */
export type Architecture = 'x64' | 'arm64';

/** Numbers on x86-64 (`asm/unistd_64.h`) and aarch64 (`asm-generic/unistd.h`); null where there is no such call. */
type Numbers = readonly [x64: number, arm64: number | null];

export interface DeniedGroup {
  readonly reason: string;
  /** What the caller gets; `ENOSYS` where programs then do without. */
  readonly errno: 'EPERM' | 'ENOSYS';
  readonly calls: Readonly<Record<string, Numbers>>;
}

export const DENIED: readonly DeniedGroup[] = [
  {
    reason: 'Mounts are what read-only and hidden parts of the guest are made of',
    errno: 'EPERM',
    calls: {
      mount: [165, 40],
      umount2: [166, 39],
      pivot_root: [155, 41],
      chroot: [161, 51],
      open_tree: [428, 428],
      move_mount: [429, 429],
      fsopen: [430, 430],
      fsconfig: [431, 431],
      fsmount: [432, 432],
      fspick: [433, 433],
      mount_setattr: [442, 442],
      open_tree_attr: [467, 467],
    },
  },
  {
    reason: 'A namespace of its own would give a guest capabilities in it, and with them most of the kernel',
    errno: 'EPERM',
    calls: { unshare: [272, 97], setns: [308, 268] },
  },
  {
    reason: 'Its flags lie in memory, where a filter cannot look; C libraries then use clone',
    errno: 'ENOSYS',
    calls: { clone3: [435, 435] },
  },
  {
    reason: 'Reading and steering other processes, which would include the agent',
    errno: 'EPERM',
    calls: {
      ptrace: [101, 117],
      process_vm_readv: [310, 270],
      process_vm_writev: [311, 271],
      process_madvise: [440, 440],
      pidfd_getfd: [438, 438],
      kcmp: [312, 272],
    },
  },
  {
    reason: 'Programs and counters in the kernel, which see beyond the guest',
    errno: 'EPERM',
    calls: { bpf: [321, 280], perf_event_open: [298, 241], lookup_dcookie: [212, 18], syslog: [103, 116] },
  },
  {
    reason: 'Asynchronous requests pass no filter, and made more exploits than any other interface',
    errno: 'ENOSYS',
    calls: { io_uring_setup: [425, 425], io_uring_enter: [426, 426], io_uring_register: [427, 427] },
  },
  {
    reason: 'Stops the kernel in the middle of a copy, which turns races into exploits',
    errno: 'EPERM',
    calls: { userfaultfd: [323, 282] },
  },
  {
    reason: 'Key rings belong to a user of the host, not to a namespace',
    errno: 'EPERM',
    calls: { add_key: [248, 217], request_key: [249, 218], keyctl: [250, 219] },
  },
  {
    reason: 'Replaces the kernel or parts of it, or ends it',
    errno: 'EPERM',
    calls: {
      kexec_load: [246, 104],
      kexec_file_load: [320, 294],
      create_module: [174, null],
      init_module: [175, 105],
      finit_module: [313, 273],
      delete_module: [176, 106],
      query_module: [178, null],
      get_kernel_syms: [177, null],
      reboot: [169, 142],
    },
  },
  {
    reason: 'Settings of the whole host: clock, swap, quotas, accounting, names',
    errno: 'EPERM',
    calls: {
      settimeofday: [164, 170],
      clock_settime: [227, 112],
      clock_adjtime: [305, 266],
      adjtimex: [159, 171],
      swapon: [167, 224],
      swapoff: [168, 225],
      acct: [163, 89],
      quotactl: [179, 60],
      quotactl_fd: [443, 443],
      sethostname: [170, 161],
      setdomainname: [171, 162],
      _sysctl: [156, null],
      nfsservctl: [180, 42],
    },
  },
  {
    reason: 'Hardware, terminals of the host and other old doors',
    errno: 'EPERM',
    calls: {
      iopl: [172, null],
      ioperm: [173, null],
      modify_ldt: [154, null],
      uselib: [134, null],
      ustat: [136, null],
      sysfs: [139, null],
      vhangup: [153, 58],
      migrate_pages: [256, 238],
      move_pages: [279, 239],
    },
  },
  {
    reason: 'File handles and watches reach files of a mount that the guest does not see',
    errno: 'EPERM',
    calls: { name_to_handle_at: [303, 264], open_by_handle_at: [304, 265], fanotify_init: [300, 262] },
  },
];

/** Calls that are denied only where a guest is kept on some of the host's processors by nothing stronger. */
export const PINNING: DeniedGroup = {
  reason: 'Would undo the limit on processors',
  errno: 'EPERM',
  calls: { sched_setaffinity: [203, 122] },
};

/** Calls that depend on an argument, of which a filter sees the lower half. */
export const CHECKED = {
  clone: [56, 220],
  ioctl: [16, 29],
  socket: [41, 198],
  personality: [135, 92],
} as const satisfies Record<string, Numbers>;

export function numberOf(numbers: Numbers, architecture: Architecture): number | null {
  return numbers[architecture === 'x64' ? 0 : 1];
}
