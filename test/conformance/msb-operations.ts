import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandOutcome } from '../support/stock-clients.ts';
import type { Operation } from './operation.ts';

export interface MsbContext {
  /** Runs the stock command. */
  msb(args: readonly string[], input?: string, env?: Readonly<Record<string, string>>): Promise<CommandOutcome>;
  /** Runs it in a terminal. */
  terminal(args: readonly string[], input?: string): Promise<CommandOutcome>;
  /** Starts it, and ends it when `until` has seen enough of what it prints. */
  follow(args: readonly string[], until: (text: string) => boolean, meanwhile: () => Promise<unknown>): Promise<string>;
  readonly image: string;
  /** A folder of the host that the server lets administrators mount. */
  readonly hostFolder: string;
  /** A scratch folder of the client. */
  readonly scratch: string;
}

const ok = (outcome: CommandOutcome): string => {
  assert.equal(outcome.code, 0, `exit ${outcome.code}: ${outcome.stderr || outcome.stdout}`);
  return outcome.stdout;
};

/** In this order: the sandbox `box` is made first and used by those that follow. */
export const MSB_OPERATIONS: readonly Operation<MsbContext>[] = [
  op('lifecycle', 'create --name -e --label -m -c', async ({ msb, image }) => {
    ok(
      await msb([
        'create',
        '-q',
        '--name',
        'box',
        '-e',
        'GREETING=hello',
        '--label',
        'team=blue',
        '-m',
        '512M',
        '-c',
        '1',
        image,
      ]),
    );
  }),
  op('lifecycle', 'ls', async ({ msb, image }) => {
    assert.match(ok(await msb(['ls'])), new RegExp(`^box\\s+${image}\\s.*running`, 'm'));
  }),
  op('lifecycle', 'ls --format json', async ({ msb }) => {
    const [box] = JSON.parse(ok(await msb(['ls', '--format', 'json']))) as { name: string }[];
    assert.equal(box?.name, 'box');
  }),
  op('lifecycle', 'ls --label', async ({ msb }) => {
    assert.equal(ok(await msb(['ls', '-q', '--label', 'team=blue'])).trim(), 'box');
    assert.equal(ok(await msb(['ls', '-q', '--label', 'team=red'])).trim(), '');
  }),
  op('lifecycle', 'ps', async ({ msb }) => assert.match(ok(await msb(['ps'])), /box.*running/is)),
  op('lifecycle', 'status NAME', async ({ msb }) => assert.match(ok(await msb(['status', 'box'])), /running/i)),
  op(
    'lifecycle',
    'inspect --format json',
    async ({ msb }) => {
      assert.match(ok(await msb(['inspect', '--format', 'json', 'box'])), /"name":\s*"box"/);
    },
    'limited',
  ),
  op('lifecycle', 'create of a name that exists fails', async ({ msb, image }) => {
    const { code, stderr } = await msb(['create', '-q', '--name', 'box', image]);
    assert.notEqual(code, 0);
    assert.match(stderr, /exist/i);
  }),

  op('execution', 'exec: output, errors, exit code, environment', async ({ msb }) => {
    const outcome = await msb(['exec', 'box', '--', 'sh', '-c', 'echo $GREETING; echo err >&2; exit 3']);
    assert.deepEqual(outcome, { stdout: 'hello\n', stderr: 'err\n', code: 3 });
  }),
  op('execution', 'exec with stdin', async ({ msb }) => {
    assert.equal(ok(await msb(['exec', 'box', '--', 'cat'], 'from stdin')), 'from stdin');
  }),
  op('execution', 'exec -e -w', async ({ msb }) => {
    assert.equal(
      ok(await msb(['exec', '-e', 'A=1', '-w', '/tmp', 'box', '--', 'sh', '-c', 'echo $A; pwd'])),
      '1\n/tmp\n',
    );
  }),
  op('execution', 'exec -u', async ({ msb }) => {
    assert.equal(ok(await msb(['exec', '-u', '1000:1000', 'box', '--', 'id', '-u'])).trim(), '1000');
  }),
  op('execution', 'exec --rlimit', async ({ msb }) => {
    assert.equal(ok(await msb(['exec', '--rlimit', 'nofile=77', 'box', '--', 'sh', '-c', 'ulimit -n'])).trim(), '77');
  }),
  op('execution', 'exec --timeout', async ({ msb }) => {
    const started = performance.now();
    assert.notEqual((await msb(['exec', '--timeout', '2s', 'box', '--', 'sleep', '60'])).code, 0);
    assert.ok(performance.now() - started < 30_000);
  }),
  op('execution', 'exec -t', async ({ terminal }) => {
    assert.match(
      ok(await terminal(['exec', '-t', 'box', '--', 'sh', '-c', 'tty; stty size'])),
      /\/dev\/pts\/\d+\D+\d+ \d+/,
    );
  }),
  op('execution', 'exec -t: interactive shell', async ({ terminal }) => {
    assert.match(ok(await terminal(['exec', '-t', 'box', '--', 'sh'], 'echo $((40 + 2))\nexit\n')), /(^|# )42\r?$/m);
  }),
  op('execution', 'exec of a command that does not exist fails', async ({ msb }) => {
    const { code, stderr } = await msb(['exec', 'box', '--', 'no-such-command']);
    assert.notEqual(code, 0);
    assert.match(stderr, /no-such-command|not found/i);
  }),
  op('execution', 'run', async ({ msb, image }) => {
    const outcome = await msb(['run', '-q', '--no-tty', image, '--', 'sh', '-c', 'echo one-off; exit 4']);
    assert.deepEqual([outcome.stdout, outcome.code], ['one-off\n', 4]);
  }),
  op('execution', 'run --name keeps the sandbox', async ({ msb, image }) => {
    assert.equal(ok(await msb(['run', '-q', '--no-tty', '--name', 'kept', image, '--', 'echo', 'kept'])), 'kept\n');
    assert.match(ok(await msb(['ls', '-q'])), /^kept$/m);
    ok(await msb(['rm', '-q', '-f', 'kept']));
  }),
  op('execution', 'run -t', async ({ terminal, image }) => {
    assert.match(ok(await terminal(['run', '-q', '-t', image, '--', 'tty'])), /\/dev\/pts\/\d+/);
  }),
  op('execution', 'run -d', async ({ msb, image }) => {
    ok(await msb(['run', '-q', '-d', '--name', 'background', image, '--', 'sleep', '600']));
    assert.match(
      ok(await msb(['exec', 'background', '--', 'sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'])),
      /sleep 600/,
    );
    ok(await msb(['rm', '-q', '-f', 'background']));
  }),
  op('execution', 'run --workdir --user --rlimit --tmpfs', async ({ msb, image }) => {
    const script = 'pwd; id -u; ulimit -n; grep -c " /scratch tmpfs " /proc/mounts';
    const args = ['-w', '/tmp', '-u', '1000', '--rlimit', 'nofile=99', '--tmpfs', '/scratch:16M'];
    assert.equal(
      ok(await msb(['run', '-q', '--no-tty', ...args, image, '--', 'sh', '-c', script])),
      '/tmp\n1000\n99\n1\n',
    );
  }),
  op('execution', 'run --script', async ({ msb, image }) => {
    const script = '--script=greet=#!/bin/sh\necho from the script';
    assert.equal(ok(await msb(['run', '-q', '--no-tty', script, image, '--', 'greet'])), 'from the script\n');
  }),
  op('guest files', 'run --mkdir --rm', async ({ msb, image }) => {
    const outcome = await msb([
      'run',
      '-q',
      '--no-tty',
      '--mkdir',
      '/made/by/patch',
      image,
      '--',
      'ls',
      '-d',
      '/made/by/patch',
    ]);
    assert.equal(ok(outcome), '/made/by/patch\n');
  }),

  op('guest files', 'cp of a file, both ways', async ({ msb, scratch }) => {
    await writeFile(join(scratch, 'up.txt'), 'carried');
    ok(await msb(['cp', '-q', join(scratch, 'up.txt'), 'box:/tmp/file.txt']));
    ok(await msb(['cp', '-q', 'box:/tmp/file.txt', join(scratch, 'down.txt')]));
    assert.equal(await readFile(join(scratch, 'down.txt'), 'utf8'), 'carried');
  }),
  op('guest files', 'cp of a folder, both ways', async ({ msb, scratch }) => {
    await mkdir(join(scratch, 'tree/deep'), { recursive: true });
    await writeFile(join(scratch, 'tree/deep/leaf.txt'), 'leaf');
    ok(await msb(['cp', '-q', join(scratch, 'tree'), 'box:/tmp/tree']));
    assert.equal(ok(await msb(['exec', 'box', '--', 'cat', '/tmp/tree/deep/leaf.txt'])), 'leaf');
    ok(await msb(['cp', '-q', 'box:/tmp/tree', join(scratch, 'back')]));
    assert.equal(await readFile(join(scratch, 'back/deep/leaf.txt'), 'utf8'), 'leaf');
  }),
  op('guest files', 'cp of 20 MB, both ways', async ({ msb, scratch }) => {
    const bytes = Buffer.alloc(20_000_000, 'workcell ');
    await writeFile(join(scratch, 'big'), bytes);
    ok(await msb(['cp', '-q', join(scratch, 'big'), 'box:/tmp/big']));
    ok(await msb(['cp', '-q', 'box:/tmp/big', join(scratch, 'big-back')]));
    assert.ok((await readFile(join(scratch, 'big-back'))).equals(bytes));
  }),

  op('ssh', 'ssh NAME -- COMMAND', async ({ msb }) => {
    const outcome = await msb(['ssh', 'box', '--', 'echo over ssh; exit 5']);
    assert.deepEqual([outcome.stdout.trim(), outcome.code], ['over ssh', 5]);
  }),
  op('ssh', 'ssh: interactive', async ({ terminal }) => {
    assert.match(ok(await terminal(['ssh', 'box'], 'echo $((40 + 2))\nexit\n')), /(^|# )42\r?$/m);
  }),
  op(
    'logs',
    'logs -f',
    async ({ msb, follow }) => {
      const text = await follow(
        ['logs', '-f', 'box'],
        (seen) => seen.includes('logged-line'),
        () => msb(['exec', 'box', '--', 'echo', 'logged-line']),
      );
      assert.match(text, /logged-line/);
    },
    'local-only',
  ),
  op('process control', 'ping', async ({ msb }) => void ok(await msb(['ping', 'box'])), 'local-only'),
  op('process control', 'touch', async ({ msb }) => void ok(await msb(['touch', 'box'])), 'local-only'),

  op('volumes', 'volume create', async ({ msb }) => void ok(await msb(['volume', 'create', '-q', '--name', 'data']))),
  op('volumes', 'volume ls', async ({ msb }) => assert.match(ok(await msb(['volume', 'ls'])), /^data\b/m), 'limited'),
  op(
    'volumes',
    'run -v NAME:/data; the files outlive the sandbox and are shared',
    async ({ msb, image }) => {
      const write = [
        'run',
        '-q',
        '--no-tty',
        '--mount-named',
        'data:/data',
        image,
        '--',
        'sh',
        '-c',
        'echo kept > /data/a',
      ];
      ok(await msb(write));
      ok(await msb(['create', '-q', '--name', 'reader', '-v', 'data:/data:ro', image]));
      assert.equal(ok(await msb(['exec', 'reader', '--', 'cat', '/data/a'])), 'kept\n');
      assert.notEqual((await msb(['exec', 'reader', '--', 'sh', '-c', 'echo x > /data/b'])).code, 0);
      ok(await msb(['rm', '-q', '-f', 'reader']));
    },
    'limited',
  ),
  op('volumes', 'volume rm', async ({ msb }) => {
    ok(await msb(['volume', 'rm', '-q', 'data']));
    assert.doesNotMatch(ok(await msb(['volume', 'ls'])), /^data\b/m);
  }),
  op(
    'host paths',
    'run --mount-dir',
    async ({ msb, image, hostFolder }) => {
      await writeFile(join(hostFolder, 'from-host'), 'host');
      const mount = ['--mount-dir', `${hostFolder}:/host`];
      assert.equal(
        ok(
          await msb([
            'run',
            '-q',
            '--no-tty',
            ...mount,
            image,
            '--',
            'sh',
            '-c',
            'cat /host/from-host; echo guest > /host/back',
          ]),
        ),
        'host',
      );
      assert.equal(await readFile(join(hostFolder, 'back'), 'utf8'), 'guest\n');
    },
    'limited',
  ),

  op('network', 'create --no-net', async ({ msb, image }) => {
    const outcome = await msb([
      'run',
      '-q',
      '--no-tty',
      '--no-net',
      image,
      '--',
      'sh',
      '-c',
      'tail -n +3 /proc/net/dev | cut -d: -f1',
    ]);
    assert.equal(ok(outcome).trim(), 'lo');
  }),
  op('network', 'run --net-default deny --net-rule', async ({ msb, image }) => {
    const rules = ['--net-default', 'deny', '--net-rule', 'allow@example.com:tcp:443'];
    ok(await msb(['run', '-q', '--no-tty', ...rules, image, '--', 'true']));
  }),

  op(
    'lifecycle',
    'stop',
    async ({ msb }) => {
      ok(await msb(['stop', '-q', 'box']));
      assert.match(ok(await msb(['status', 'box'])), /stopped/i);
    },
    'limited',
  ),
  op('lifecycle', 'exec on a stopped sandbox fails or starts it', async ({ msb }) => {
    const { code, stderr } = await msb(['exec', 'box', '--', 'true']);
    if (code !== 0) assert.match(stderr, /not running|stopped|start/i);
  }),
  op('lifecycle', 'start', async ({ msb }) => {
    if (/stopped/i.test(ok(await msb(['status', 'box'])))) ok(await msb(['start', '-q', 'box']));
    assert.equal(ok(await msb(['exec', 'box', '--', 'echo', 'again'])), 'again\n');
  }),
  op(
    'lifecycle',
    'restart',
    async ({ msb }) => {
      ok(await msb(['restart', '-q', 'box']));
      assert.equal(ok(await msb(['exec', 'box', '--', 'echo', 'again'])), 'again\n');
    },
    'limited',
  ),
  op('lifecycle', 'rm', async ({ msb }) => {
    ok(await msb(['rm', '-q', '-f', 'box']));
    assert.equal(ok(await msb(['ls', '-q'])).trim(), '');
  }),
  op('lifecycle', 'stop --label, rm --label', async ({ msb, image }) => {
    ok(await msb(['create', '-q', '--name', 'labelled', '--label', 'team=green', image]));
    ok(await msb(['stop', '-q', '--label', 'team=green']));
    ok(await msb(['rm', '-q', '--label', 'team=green']));
    assert.equal(ok(await msb(['ls', '-q'])).trim(), '');
  }),
  op('lifecycle', 'run --max-duration ends the sandbox', async ({ msb, image }) => {
    ok(await msb(['create', '-q', '--name', 'short', '--max-duration', '3s', image]));
    const end = Date.now() + 30_000;
    while (/running/i.test(ok(await msb(['status', 'short'])))) assert.ok(Date.now() < end, 'it still runs');
    ok(await msb(['rm', '-q', 'short']));
  }),
  op('lifecycle', 'a wrong key is refused, and said to be wrong', async ({ msb }) => {
    const { code, stderr } = await msb(['ls'], undefined, { MSB_API_KEY: 'msb_wrong' });
    assert.equal(code, 1);
    assert.match(stderr, /key/i);
  }),
  op('images', 'an image that the server does not have is refused by name', async ({ msb }) => {
    const { code, stderr } = await msb(['create', '-q', '--name', 'odd', 'no-such-image:9']);
    assert.notEqual(code, 0);
    assert.match(stderr, /no-such-image/);
    await msb(['rm', '-q', '-f', 'odd']);
  }),
];

function op(
  area: Operation<MsbContext>['area'],
  name: string,
  run: Operation<MsbContext>['run'],
  cloud: Operation<MsbContext>['cloud'] = 'works',
): Operation<MsbContext> {
  return { area, name, cloud, run };
}
