import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CERTIFICATES } from './bench.ts';

export interface Registry extends AsyncDisposable {
  /** Of its one image. */
  readonly reference: string;
  /** The paths that it was asked for. */
  readonly asked: readonly string[];
}

const run = promisify(execFile);
const NAME = 'tiny';
const TAG = '1';

/** Serves this folder as an OCI image of one layer, over TLS with a certificate that this machine trusts from now on. */
export async function serveImage(image: string, scratch: string): Promise<Registry> {
  await mkdir(scratch);
  const { key, cert } = await makeCertificate(scratch);
  await appendFile(CERTIFICATES, cert);
  const files = await describeImage(image, scratch);
  const asked: string[] = [];
  const server = createServer({ key, cert }, ({ url = '' }, response) => {
    asked.push(url);
    const file = files.get(url);
    if (file === undefined) response.writeHead(url === '/v2/' ? 200 : 404).end();
    else response.writeHead(200, { 'content-type': file.type, 'docker-content-digest': file.digest }).end(file.content);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    reference: `localhost:${port}/${NAME}:${TAG}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

interface RegistryFile {
  readonly type: string;
  readonly digest: string;
  readonly content: Buffer;
}

/** What a registry has of an image, by its paths; see the OCI distribution specification. */
async function describeImage(image: string, scratch: string): Promise<ReadonlyMap<string, RegistryFile>> {
  const tar = join(scratch, 'layer.tar');
  await run('tar', ['-C', image, '-cf', tar, '.']);
  const unpacked = digestOf(await readFile(tar));
  await run('gzip', [tar]);
  const layer = fileOf('application/vnd.oci.image.layer.v1.tar+gzip', await readFile(`${tar}.gz`));
  const config = fileOf('application/vnd.oci.image.config.v1+json', {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [unpacked] },
    history: [{ created_by: 'test' }],
  });
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = fileOf(type, {
    schemaVersion: 2,
    mediaType: type,
    config: descriptorOf(config),
    layers: [descriptorOf(layer)],
  });
  return new Map([
    ...[TAG, manifest.digest].map((name) => [`/v2/${NAME}/manifests/${name}`, manifest] as const),
    ...[config, layer].map((file) => [`/v2/${NAME}/blobs/${file.digest}`, file] as const),
  ]);
}

function fileOf(type: string, value: Buffer | object): RegistryFile {
  const content = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
  return { type, digest: digestOf(content), content };
}

function descriptorOf({ type, digest, content }: RegistryFile): object {
  return { mediaType: type, digest, size: content.byteLength };
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

async function makeCertificate(scratch: string): Promise<{ readonly key: string; readonly cert: string }> {
  const [config, key, cert] = ['openssl.cnf', 'key.pem', 'cert.pem'].map((name) => join(scratch, name)) as [
    string,
    string,
    string,
  ];
  await writeFile(
    config,
    `[req]\ndistinguished_name=name\nx509_extensions=extensions\n[name]\n[extensions]\nsubjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n`,
  );
  const what = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  await run('openssl', ['req', ...what, '-subj', '/CN=localhost', '-config', config, '-keyout', key, '-out', cert]);
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
}
