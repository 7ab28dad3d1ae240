import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { messageOf } from '../../../src/core/errors.ts';
import { writeConfig } from '../../support/cell-config.ts';
import type { DoubleSpec } from '../../support/mcp-double/spec.ts';
import { stdioServer } from '../../support/mcp-servers.ts';
import { writeReport } from '../report.ts';

/** What the checks in the nested host share. */
export interface Bench {
  /** Holds everything that they write; on a file system with extended attributes. */
  readonly folder: string;
  /** Of `bundlePrograms`. */
  readonly programs: string;
  /** The stock clients; see `stockClients`. */
  readonly clients: { readonly msb: string; readonly folder: string };
  readonly busybox: string;
  readonly configPath: string;
  /** The one group of checks that is wanted. */
  readonly only: string | undefined;
}

const DOUBLE: DoubleSpec = { tools: [{ name: 'echo', inputSchema: { type: 'object' } }] };
/** What the clients of this machine trust. */
export const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';
export const IMAGE = 'tiny';
const APPLETS =
  'sh cat echo env head id ln ls mkdir mknod mount printf ps pwd readlink rm sleep stat true uname wc'.split(' ');

/** Lays out a configuration whose one image is busybox. */
export async function openBench(options: Omit<Bench, 'configPath'>): Promise<Bench> {
  const { folder, programs } = options;
  await mkdir(folder, { recursive: true });
  const image = join(folder, 'image');
  await makeImage(image, options.busybox);
  await writeCertificate();
  const configPath = await writeConfig(folder, {
    mcpServers: { double: stdioServer(process.execPath, [join(programs, 'mcp-double.mjs'), JSON.stringify(DOUBLE)]) },
    sandbox: { driver: 'microsandbox', image: IMAGE, images: { [IMAGE]: image }, bootTimeout: '200s', memory: '256M' },
    limits: { timeout: '200s' },
  });
  return { ...options, configPath };
}

/** The stock command wants certificates, whatever it talks to, and reads all there are: each of its starts is quick with one. */
async function writeCertificate(): Promise<void> {
  await mkdir(dirname(CERTIFICATES), { recursive: true });
  await writeFile(CERTIFICATES, `${rootCertificates[0]}\n`);
}

async function makeImage(image: string, busybox: string): Promise<void> {
  for (const name of ['bin', 'etc', 'tmp', 'root']) await mkdir(join(image, name), { recursive: true });
  await cp(busybox, join(image, 'bin/busybox'));
  for (const name of APPLETS) await symlink('busybox', join(image, 'bin', name));
  await writeFile(join(image, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/tmp:/bin/sh\n');
  await writeFile(join(image, 'etc/group'), 'root:x:0:\nguest:x:1000:\n');
}

/** Runs a group of checks, unless another one is wanted; what fails between its checks fails the group. */
export async function group({ only }: Bench, name: string, body: () => Promise<void>): Promise<void> {
  if (only !== undefined && only !== name) return;
  try {
    await body();
  } catch (error) {
    writeReport({ kind: 'check', name: `the group "${name}"`, ms: 0, error: messageOf(error) });
  }
}

/** Runs one check and reports how it went; the others run whatever it does. */
export async function check(name: string, body: () => Promise<void>): Promise<void> {
  const start = performance.now();
  const report = (error?: string) =>
    writeReport({ kind: 'check', name, ms: Math.round(performance.now() - start), ...(error ? { error } : {}) });
  try {
    await body();
    report();
  } catch (error) {
    report(messageOf(error));
  }
}
