import { describe, expect, it } from 'vitest';
import type { GuestSpec, MountOptions, VolumeMount } from '../../../../src/sandbox/driver.ts';
import { bubblewrapArguments, refuseUnenforceable } from '../../../../src/sandbox/drivers/bubblewrap/arguments.ts';

const OPTIONS: MountOptions = { readonly: false, noexec: false, nosuid: true, nodev: true };
const SPEC: GuestSpec = {
  id: 'one',
  hostname: 'box',
  image: { kind: 'host' },
  cpus: 1,
  memoryMib: 256,
  mounts: [],
  env: [],
  workdir: '/workspace',
};
const folder = (target: string, options: Partial<MountOptions> = {}): VolumeMount => ({
  kind: 'directory',
  path: '/host/folder',
  target,
  options: { ...OPTIONS, ...options },
});
const refusal = (changes: Partial<GuestSpec>) => () => refuseUnenforceable({ ...SPEC, ...changes });

describe('what bubblewrap cannot enforce', () => {
  it.each<[string, Partial<GuestSpec>]>([
    ['a mount without execution', { mounts: [folder('/data', { noexec: true })] }],
    ['a user other than root', { user: 'nobody' }],
    ['a guest that survives', { survives: true }],
    ['an image of a registry', { image: { kind: 'oci', reference: 'alpine' } }],
    ['a relative target', { mounts: [folder('data')] }],
    ['a target with dots', { mounts: [folder('/data/../etc')] }],
    ['a mount over the root', { mounts: [folder('/')] }],
    ['a mount over processes', { mounts: [folder('/proc/sys')] }],
    ['a mount over devices', { mounts: [folder('/dev')] }],
    ['a mount over the runtime', { mounts: [folder('/opt/workcell/lib')] }],
    ['a mount deep in a folder of the guest', { mounts: [folder('/workspace'), folder('/workspace/a/b')] }],
  ])('is refused: %s', (_what, changes) => {
    expect(refusal(changes)).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });

  it.each<[string, Partial<GuestSpec>]>([
    ['root by name', { user: 'root' }],
    ['root by number', { user: '0:0' }],
    ['a mount right below another', { mounts: [folder('/workspace'), folder('/workspace/a')] }],
    ['a chain of mounts', { mounts: [folder('/workspace'), folder('/workspace/a'), folder('/workspace/a/b')] }],
    ['the skills of the runtime', { mounts: [folder('/opt/workcell/skills')] }],
  ])('is not refused: %s', (_what, changes) => {
    expect(refusal(changes)).not.toThrow();
  });
});

it('makes the devices read-only after everything was mounted', () => {
  const args = bubblewrapArguments({
    spec: { ...SPEC, mounts: [folder('/workspace'), folder('/workspace/ro', { readonly: true })] },
    layers: [],
    runtime: '/cache/runtime',
    kernelFiles: [
      { name: 'sys', hidden: false },
      { name: 'kcore', hidden: true },
    ],
  });
  const text = args.join(' ');
  expect(text).toContain('--bind /host/folder /workspace --ro-bind /host/folder /workspace/ro --remount-ro /dev');
  expect(text).toMatch(/--proc \/proc --ro-bind \/proc\/sys \/proc\/sys --ro-bind \/dev\/null \/proc\/kcore/);
  expect(args.slice(-2)).toEqual(['--remount-ro', '/dev']);
});
