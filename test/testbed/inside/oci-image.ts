import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Bench } from './bench.ts';

const run = promisify(execFile);

/** Makes an OCI image of the test's folder, and puts it where the driver looks first: there is no registry here. */
export async function loadOciImage({ folder, clients }: Bench, reference: string, store: string): Promise<void> {
  const parts = join(folder, 'oci');
  await mkdir(parts);
  await run('tar', ['-C', join(folder, 'image'), '-cf', join(parts, 'layer.tar'), '.']);
  const layer = createHash('sha256')
    .update(await readFile(join(parts, 'layer.tar')))
    .digest('hex');
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    history: [{ created_by: 'test' }],
  };
  await writeFile(join(parts, 'config.json'), JSON.stringify(config));
  const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }];
  await writeFile(join(parts, 'manifest.json'), JSON.stringify(manifest));
  const archive = join(folder, 'oci.tar');
  await run('tar', ['-C', parts, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar']);
  // Where guests see it: there are paths in it.
  const env = { HOME: '/msb', MSB_HOME: '/msb', MSB_BACKEND: 'local', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
  await run(clients.msb, ['load', '--input', archive], { env });
  await mkdir(store, { recursive: true });
  const home = join(store, createHash('sha256').update(reference).digest('hex').slice(0, 16));
  await rename('/msb', home);
}
