import { join } from 'node:path';
import { AGENT_PORT, EGRESS_PORT } from '../../../protocol/guest-bootstrap.ts';
import type { GuestSpec } from '../../driver.ts';
import type { GuestAssets } from './assets.ts';

export type Accelerator = 'kvm' | 'tcg';

export interface MachineOptions {
  readonly qemu: string;
  readonly accelerator: Accelerator;
  readonly assets: GuestAssets;
  readonly cpus: number;
  readonly memoryMib: number;
  /** The sandbox's private folder: sockets and the console's log. */
  readonly folder: string;
  /** The file that is the guest's RAM. Default: {@link memoryFile}. */
  readonly memory?: string;
  /** A share that is there from the start; others are plugged in later. */
  readonly share?: { readonly socket: string; readonly tag: string };
  /** True for a copy of a template: the machine waits for its state. */
  readonly incoming: boolean;
}

const ROOT_PORT = 'share';

/**
 * The command that starts one machine: no network device, no display, no monitor but QMP, system calls filtered.
 *
 * The RAM is a shared file, because the share's server must see it, and because a template is such a file.
 */
export function machineCommand(options: MachineOptions): [string, ...string[]] {
  const { assets, folder, memoryMib, memory = memoryFile(folder) } = options;
  return [
    options.qemu,
    ...['-name', 'workcell', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...machineArguments(options.accelerator),
    ...['-m', String(memoryMib), '-smp', String(options.cpus)],
    ...['-object', `memory-backend-file,id=memory,size=${memoryMib}M,mem-path=${escaped(memory)},share=on`],
    ...['-numa', 'node,memdev=memory'],
    ...['-kernel', assets.kernel, '-initrd', assets.initramfs],
    ...['-append', kernelCommandLine(options.accelerator)],
    ...['-chardev', `file,id=console,path=${escaped(join(folder, 'console.log'))}`, '-serial', 'chardev:console'],
    ...['-drive', `file=${escaped(assets.runtime)},if=none,id=runtime,format=raw,readonly=on`],
    ...['-device', 'virtio-blk-pci,drive=runtime'],
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=agent,path=${escaped(agentSocket(folder))},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=agent,name=${AGENT_PORT}`],
    ...['-chardev', `socket,id=egress,path=${escaped(egressSocket(folder))},server=on,wait=off`],
    ...['-device', `virtserialport,chardev=egress,name=${EGRESS_PORT}`],
    ...['-qmp', `unix:${escaped(qmpSocket(folder))},server=on,wait=off`],
    ...['-device', `pcie-root-port,id=${ROOT_PORT},slot=1`],
    ...(options.share === undefined ? [] : shareArguments(options.share)),
    ...(options.incoming ? ['-incoming', 'defer'] : []),
  ];
}

/** What a saved machine depends on beside its files; it can only be restored into an equal one. */
export function machineIdentity(accelerator: Accelerator, spec: Pick<GuestSpec, 'cpus' | 'memoryMib'>): string {
  const devices = [ROOT_PORT, AGENT_PORT, EGRESS_PORT];
  return [...machineArguments(accelerator), kernelCommandLine(accelerator), spec.cpus, spec.memoryMib, ...devices].join(
    ' ',
  );
}

/** A guest's RAM in its folder. */
export function memoryFile(folder: string): string {
  return join(folder, 'memory');
}

export function agentSocket(folder: string): string {
  return join(folder, 'agent.sock');
}

export function egressSocket(folder: string): string {
  return join(folder, 'egress.sock');
}

export function qmpSocket(folder: string): string {
  return join(folder, 'qmp.sock');
}

/** The QMP commands that plug a share into a machine. */
export function plugCommands(share: { socket: string; tag: string }): [string, Record<string, unknown>][] {
  const addr = { type: 'unix', data: { path: share.socket } };
  return [
    ['chardev-add', { id: 'share0', backend: { type: 'socket', data: { addr, server: false } } }],
    ['device_add', { driver: 'vhost-user-fs-pci', id: 'fs0', chardev: 'share0', tag: share.tag, bus: ROOT_PORT }],
  ];
}

/** The QMP command after which nothing is kept of what a guest says on its console: it could fill the host's memory. */
export const SILENCE: readonly [string, Record<string, unknown>] = [
  'chardev-change',
  { id: 'console', backend: { type: 'null', data: {} } },
];

function shareArguments(share: { socket: string; tag: string }): string[] {
  return [
    ...['-chardev', `socket,id=share0,path=${escaped(share.socket)}`],
    ...['-device', `vhost-user-fs-pci,id=fs0,chardev=share0,tag=${share.tag},bus=${ROOT_PORT}`],
  ];
}

function machineArguments(accelerator: Accelerator): string[] {
  return accelerator === 'kvm'
    ? ['-M', 'q35', '-accel', 'kvm', '-cpu', 'host']
    : ['-M', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max'];
}

/**
 * Emulated, code is translated for the address at which it runs. A guest of one customer defends nothing by placing its
 * programs at random, and each new process of a program runs on what was translated for the one before when it does not.
 * For the same reason the agent compiles nothing: code that is made while it runs is translated once more.
 */
function kernelCommandLine(accelerator: Accelerator): string {
  const common = 'console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on';
  return accelerator === 'tcg' ? `${common} norandmaps agent_flags=--jitless` : common;
}

/** In QEMU's option lists a comma is written twice. */
function escaped(path: string): string {
  return path.replaceAll(',', ',,');
}
