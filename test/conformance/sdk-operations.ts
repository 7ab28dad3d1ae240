import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from './operation.ts';

/** What comes from the published package: it is not among this project's dependencies, so its types are not known here. */
// biome-ignore lint/suspicious/noExplicitAny: see above
type Published = any;

export interface SdkContext {
  readonly sdk: Published;
  readonly image: string;
  readonly scratch: string;
  box?: Published;
}

const BIG = Buffer.alloc(9_000_000, 'abc');

/** In this order: the sandbox of the first one is used by those that follow. */
export const SDK_OPERATIONS: readonly Operation<SdkContext>[] = [
  op('lifecycle', 'Sandbox.builder().image().cpus().memory().env().workdir().labels().create()', async (context) => {
    const builder = context.sdk.Sandbox.builder('sdk').image(context.image).cpus(1).memory(512);
    context.box = await builder
      .env('GREETING', 'hello')
      .workdir('/tmp')
      .label('team', 'sdk')
      .label('tier', 'one')
      .create();
    assert.equal(context.box.name, 'sdk');
    assert.equal(context.box.backendKind, 'cloud');
  }),
  op('lifecycle', 'Sandbox.get(), handle.connect()', async ({ sdk }) => {
    const handle = await sdk.Sandbox.get('sdk');
    assert.equal(handle.status, 'running');
    const again = await handle.connect();
    assert.equal((await again.exec('echo', ['connected'])).stdout(), 'connected\n');
  }),
  op('lifecycle', 'Sandbox.list()', async ({ sdk }) => {
    const { sandboxes } = await sdk.Sandbox.list();
    assert.ok(sandboxes.some(({ name }: { name: string }) => name === 'sdk'));
  }),
  op('lifecycle', 'Sandbox.listWith(label, limit, cursor)', async ({ sdk }) => {
    const list = (configure: (b: never) => unknown) => sdk.Sandbox.listWith(configure);
    const page = await list((b: Published) => b.label('team', 'sdk').limit(1));
    assert.deepEqual(
      page.sandboxes.map(({ name }: { name: string }) => name),
      ['sdk'],
    );
    assert.equal((await list((b: Published) => b.label('team', 'none'))).sandboxes.length, 0);
  }),
  op('lifecycle', 'sandbox.config()', async ({ box }) => assert.ok(await box.config())),

  op('execution', 'exec()', async ({ box }) => {
    const output = await box.exec('sh', ['-c', 'echo out; echo err >&2; exit 3']);
    assert.deepEqual([output.stdout(), output.stderr(), output.code, output.success], ['out\n', 'err\n', 3, false]);
  }),
  op('execution', 'execWith(args, cwd, env, user, rlimit, stdinBytes)', async ({ box }) => {
    const output = await box.execWith('sh', (e: Published) =>
      e
        .args(['-c', 'pwd; echo $A; id -u; ulimit -n; cat'])
        .cwd('/')
        .env('A', '1')
        .user('1000')
        .rlimit('nofile', 64)
        .stdinBytes(Buffer.from('in')),
    );
    assert.equal(output.stdout(), '/\n1\n1000\n64\nin');
  }),
  op('execution', 'execWith(timeout)', async ({ box }) => {
    await assert.rejects(box.execWith('sleep', (e: Published) => e.arg('60').timeout(1500)));
    assert.equal((await box.exec('echo', ['alive'])).stdout(), 'alive\n');
  }),
  op('execution', 'a command that does not exist is an error that names it', async ({ box }) => {
    await assert.rejects(box.exec('no-such-command', []), /no-such-command/);
  }),
  op('execution', 'execStream(): events as they happen', async ({ box }) => {
    const kinds: string[] = [];
    let text = '';
    for await (const event of await box.execStream('sh', ['-c', 'echo a; sleep 0.2; echo b >&2; exit 2'])) {
      kinds.push(event.kind);
      if (event.data) text += Buffer.from(event.data).toString();
      if (event.kind === 'exited') assert.equal(event.code, 2);
    }
    assert.equal(kinds[0], 'started');
    assert.equal(kinds.at(-1), 'exited');
    assert.equal(text, 'a\nb\n');
  }),
  op('execution', 'execStreamWith(stdinPipe): takeStdin, write, close, wait', async ({ box }) => {
    const handle = await box.execStreamWith('cat', (e: Published) => e.stdinPipe());
    const stdin = await handle.takeStdin();
    await stdin.write('piped');
    await stdin.close();
    assert.equal((await handle.collect()).stdout(), 'piped');
  }),
  op('execution', 'handle.signal(), handle.kill()', async ({ box }) => {
    const trapped = await box.execStream('sh', ['-c', 'trap "exit 42" TERM; echo ready; while :; do sleep 0.1; done']);
    for (let event = await trapped.recv(); event !== null && event.kind !== 'stdout'; ) event = await trapped.recv();
    await trapped.signal(15);
    assert.equal((await trapped.wait()).code, 42);
    const killed = await box.execStream('sleep', ['600']);
    await killed.kill();
    assert.notEqual((await killed.wait()).code, 0);
  }),
  op('execution', 'execStreamWith(tty), resize', async ({ box }) => {
    const handle = await box.execStreamWith('sh', (e: Published) =>
      e.args(['-c', 'read x; stty size']).tty(true).stdinPipe(),
    );
    await handle.resize(33, 111);
    const stdin = await handle.takeStdin();
    await stdin.write('go\n');
    assert.match((await handle.collect()).stdout(), /33 111/);
  }),
  op('execution', 'shell(), shellStream()', async ({ box }) => {
    assert.equal((await box.shell('echo $GREETING $((1 + 1))')).stdout(), 'hello 2\n');
    assert.equal((await (await box.shellStream('echo streamed')).collect()).stdout(), 'streamed\n');
  }),
  op('execution', '1 MB of output arrives whole', async ({ box }) => {
    const output = await box.exec('sh', ['-c', 'head -c 1000000 /dev/zero | tr "\\0" x']);
    assert.equal(output.stdout().length, 1_000_000);
  }),
  op('execution', '20 commands at once', async ({ box }) => {
    const outputs = await Promise.all(Array.from({ length: 20 }, (_, i) => box.exec('echo', [String(i)])));
    assert.deepEqual(
      outputs.map((output) => output.stdout().trim()),
      Array.from({ length: 20 }, (_, i) => String(i)),
    );
  }),

  op('guest files', 'mkdir, write, readToString, exists, stat', async ({ box }) => {
    const fs = box.fs();
    await fs.mkdir('/tmp/d');
    await fs.write('/tmp/d/a.txt', 'hällo');
    assert.equal(await fs.readToString('/tmp/d/a.txt'), 'hällo');
    assert.deepEqual([await fs.exists('/tmp/d/a.txt'), await fs.exists('/tmp/d/none')], [true, false]);
    assert.equal((await fs.stat('/tmp/d/a.txt')).size, 6);
  }),
  op('guest files', 'copy, rename, list', async ({ box }) => {
    const fs = box.fs();
    await fs.copy('/tmp/d/a.txt', '/tmp/d/b.txt');
    await fs.rename('/tmp/d/b.txt', '/tmp/d/c.txt');
    assert.deepEqual((await fs.list('/tmp/d')).map(({ path }: { path: string }) => path).sort(), [
      '/tmp/d/a.txt',
      '/tmp/d/c.txt',
    ]);
  }),
  op('guest files', 'read, write: 9 MB', async ({ box }) => {
    await box.fs().write('/tmp/big', BIG);
    assert.ok(Buffer.from(await box.fs().read('/tmp/big')).equals(BIG));
  }),
  op('guest files', 'readStream, writeStream', async ({ box }) => {
    const sink = await box.fs().writeStream('/tmp/streamed');
    await sink.write('one ');
    await sink.write('two');
    await sink.close();
    assert.equal(Buffer.from(await (await box.fs().readStream('/tmp/streamed')).collect()).toString(), 'one two');
  }),
  op('guest files', 'copyFromHost, copyToHost', async ({ box, scratch }) => {
    await writeFile(join(scratch, 'sdk-up'), 'up');
    await box.fs().copyFromHost(join(scratch, 'sdk-up'), '/tmp/from-host');
    await box.fs().copyToHost('/tmp/from-host', join(scratch, 'sdk-down'));
    assert.equal(await readFile(join(scratch, 'sdk-down'), 'utf8'), 'up');
  }),
  op('guest files', 'remove, removeDir', async ({ box }) => {
    const fs = box.fs();
    await fs.remove('/tmp/d/a.txt');
    await fs.removeDir('/tmp/d');
    assert.equal(await fs.exists('/tmp/d'), false);
  }),
  op('guest files', 'reading what does not exist is an error', async ({ box }) => {
    await assert.rejects(box.fs().readToString('/no/such/file'), /no such|not found|ENOENT|exist/i);
  }),

  op(
    'logs',
    'logStream({ follow: true })',
    async ({ box }) => {
      const stream = await box.logStream({ follow: true, sources: ['stdout'] });
      await box.exec('echo', ['a-logged-line']);
      let text = '';
      while (!text.includes('a-logged-line')) text += (await stream.recv()).text();
      await stream[Symbol.asyncDispose]();
    },
    'limited',
  ),
  op(
    'logs',
    'logStream({ fromCursor }) goes on where it was',
    async ({ box }) => {
      const first = await box.logStream({ follow: true, sources: ['stdout'] });
      await box.exec('echo', ['line-one']);
      let entry = await first.recv();
      while (!entry.text().includes('line-one')) entry = await first.recv();
      await first[Symbol.asyncDispose]();
      await box.exec('echo', ['line-two']);
      const second = await box.logStream({ follow: true, sources: ['stdout'], fromCursor: entry.cursor });
      assert.match((await second.recv()).text(), /line-two/);
      await second[Symbol.asyncDispose]();
    },
    'limited',
  ),

  op('ssh', 'ssh().openClient().exec()', async ({ box }) => {
    const client = await box.ssh().openClient();
    const { status, stdout } = await client.exec('echo over ssh; exit 7');
    assert.deepEqual([status, stdout.toString()], [7, 'over ssh\n']);
    await client.close();
  }),
  op('ssh', 'sftp: write, read, mkdir, rename, symlink, readLink, realPath, remove', async ({ box }) => {
    const client = await box.ssh().openClient({ sftp: true });
    const sftp = await client.sftp();
    await sftp.mkdir('/tmp/s');
    await sftp.write('/tmp/s/a', Buffer.from('sftp'));
    await sftp.rename('/tmp/s/a', '/tmp/s/b');
    assert.equal((await sftp.read('/tmp/s/b')).toString(), 'sftp');
    await sftp.symlink('/tmp/s/b', '/tmp/s/l');
    assert.equal(await sftp.readLink('/tmp/s/l'), '/tmp/s/b');
    assert.equal(await sftp.realPath('/tmp/s/../s/b'), '/tmp/s/b');
    await sftp.removeFile('/tmp/s/l');
    await sftp.removeFile('/tmp/s/b');
    await sftp.removeDir('/tmp/s');
    await client.close();
  }),

  op(
    'volumes',
    'Volume.builder().create(), list(), get()',
    async ({ sdk }) => {
      await sdk.Volume.builder('sdk-volume').label('a', 'b').create();
      assert.ok((await sdk.Volume.list()).some(({ name }: { name: string }) => name === 'sdk-volume'));
      assert.equal((await sdk.Volume.get('sdk-volume')).name, 'sdk-volume');
    },
    'limited',
  ),
  op('volumes', 'Volume.getDefault()', async ({ sdk }) =>
    assert.equal((await sdk.Volume.getDefault()).isDefault, true),
  ),
  op('volumes', 'volume fs(): mkdir, write, read, list, stat, exists, copy, rename, remove', async ({ sdk }) => {
    const fs = (await sdk.Volume.get('sdk-volume')).fs();
    await fs.mkdir('/d');
    await fs.write('/d/a.txt', 'volume');
    await fs.copy('/d/a.txt', '/d/b.txt');
    await fs.rename('/d/b.txt', '/d/c.txt');
    assert.equal(await fs.readToString('/d/c.txt'), 'volume');
    assert.equal((await fs.stat('/d/c.txt')).size, 6);
    assert.deepEqual([await fs.exists('/d/c.txt'), await fs.exists('/none')], [true, false]);
    assert.equal((await fs.list('/d')).length, 2);
    await fs.remove('/d/c.txt');
    await fs.remove('/d/a.txt');
    await fs.removeDir('/d');
  }),
  op('volumes', 'volume fs(): readStream, writeStream of 9 MB', async ({ sdk }) => {
    const fs = (await sdk.Volume.get('sdk-volume')).fs();
    const sink = await fs.writeStream('/big');
    await sink.write(BIG);
    await sink.close();
    assert.ok(Buffer.from(await (await fs.readStream('/big')).collect()).equals(BIG));
  }),
  op(
    'volumes',
    'the same files in the guest and through the volume',
    async ({ sdk, image }) => {
      const box = await sdk.Sandbox.builder('sdk-v')
        .image(image)
        .volume('/data', (m: Published) => m.named('sdk-volume'))
        .create();
      await box.exec('sh', ['-c', 'echo from-guest > /data/g']);
      assert.equal(await (await sdk.Volume.get('sdk-volume')).fs().readToString('/g'), 'from-guest\n');
      await box.stop();
      await sdk.Sandbox.remove('sdk-v');
    },
    'limited',
  ),
  op('volumes', 'Volume.remove()', async ({ sdk }) => {
    await sdk.Volume.remove('sdk-volume');
    await assert.rejects(sdk.Volume.get('sdk-volume'));
  }),

  op('network', 'disableNetwork(), NetworkPolicy.fromProfiles(["public"])', async ({ sdk, image }) => {
    const policy = (n: Published) => n.policy(sdk.NetworkPolicy.fromProfiles(['public'])).maxConnections(8);
    for (const configure of [
      (b: { disableNetwork(): unknown }) => b.disableNetwork(),
      (b: { network(p: unknown): unknown }) => b.network(policy),
    ]) {
      const box = await (
        configure(sdk.Sandbox.builder('sdk-n').image(image)) as { create(): Promise<SdkContext['box']> }
      ).create();
      assert.equal((await box.exec('echo', ['up'])).stdout(), 'up\n');
      await box.stop();
      await sdk.Sandbox.remove('sdk-n');
    }
  }),
  op('lifecycle', 'ephemeral(): gone when it has stopped', async ({ sdk, image }) => {
    const box = await sdk.Sandbox.builder('sdk-e').image(image).ephemeral(true).create();
    await box.stop();
    const end = Date.now() + 20_000;
    while (
      await sdk.Sandbox.get('sdk-e').then(
        () => true,
        () => false,
      )
    )
      assert.ok(Date.now() < end, 'it is still there');
  }),
  op('lifecycle', 'idleTimeout(): ends by itself', async ({ sdk, image }) => {
    await sdk.Sandbox.builder('sdk-i').image(image).idleTimeout(2).create();
    const end = Date.now() + 30_000;
    while ((await sdk.Sandbox.get('sdk-i')).status === 'running') assert.ok(Date.now() < end, 'it still runs');
    await sdk.Sandbox.remove('sdk-i');
  }),
  op(
    'lifecycle',
    'stop(), waitUntilStopped(), Sandbox.start(), requestStop()',
    async (context) => {
      const { sdk, box } = context;
      await box.stop();
      assert.equal((await sdk.Sandbox.get('sdk')).status, 'stopped');
      const again = await sdk.Sandbox.start('sdk');
      assert.equal((await again.exec('echo', ['again'])).stdout(), 'again\n');
      await again.requestStop();
      assert.equal((await again.waitUntilStopped()).status, 'stopped');
    },
    'limited',
  ),
  op('lifecycle', 'Sandbox.remove()', async ({ sdk }) => {
    await sdk.Sandbox.remove('sdk');
    await assert.rejects(sdk.Sandbox.get('sdk'), /not found|sdk/i);
  }),
];

function op(
  area: Operation<SdkContext>['area'],
  name: string,
  run: Operation<SdkContext>['run'],
  cloud: Operation<SdkContext>['cloud'] = 'works',
): Operation<SdkContext> {
  return { area, name, cloud, run };
}
