// Makes a sandbox with a secret, and with a quota on the folder that is the second argument, through the stock SDK, whose
// folder is the first.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [sdkFolder = '', folder = ''] = process.argv.slice(2);
const sdk = createRequire(join(sdkFolder, 'package.json')).resolve('microsandbox');
const { Sandbox } = await import(pathToFileURL(sdk).href);

interface SecretBuilder {
  env(name: string): SecretBuilder;
  value(value: string): SecretBuilder;
  allowHost(host: string): SecretBuilder;
  allowHostPattern(pattern: string): SecretBuilder;
}

interface MountBuilder {
  bind(path: string): MountBuilder;
  quota(mib: number): MountBuilder;
}

const builder = Sandbox.builder('one')
  .image('host')
  .secret((secret: SecretBuilder) =>
    secret.env('TOKEN').value('real value').allowHost('api.example.com').allowHostPattern('*.example.org'),
  )
  .volume('/data', (mount: MountBuilder) => mount.bind(folder).quota(5));
await builder.create();
