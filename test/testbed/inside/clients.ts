import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../support/processes.ts';
import { type CommandOutcome, command } from '../../support/stock-clients.ts';
import { type Bench, check, IMAGE } from './bench.ts';
import { COMPILED } from './commands.ts';
import { monitors } from './monitors.ts';
import { serve } from './served.ts';

/** Which the runtime's own configuration would take for a variable. */
const GREETING = 'hello $'.concat('{HOME} $x');

/** The stock command and the stock SDK against `workcell serve`. */
export async function checkClients(bench: Bench): Promise<void> {
  await using server = await serve(bench);
  const { msb } = server;
  const { folder } = bench;
  // The flags of the stock command for named volumes also create them, which its own cloud refuses.
  const volume = join(folder, 'volume.json');
  await writeFile(volume, JSON.stringify({ mounts: [{ named: 'acme', target: '/data' }] }));
  ok(await msb(['volume', 'create', 'acme']));

  const sdk = check('stock SDK: runs commands and moves files', async () => {
    const { stdout, stderr, code } = await command(
      process.execPath,
      [join(bench.programs, 'sdk-program.mjs'), bench.clients.folder, IMAGE],
      { env: { ...server.env, ...COMPILED }, timeoutMs: 120_000 },
    );
    assert.equal(code, 0, stderr);
    const { output, read, size, list, bigIsEqual } = JSON.parse(stdout);
    assert.deepEqual(
      { output, read, size, list: list.sort(), bigIsEqual },
      {
        output: ['out\n', 'err\n', 3],
        read: 'hällo',
        size: 6,
        list: ['/tmp/d/a.txt', '/tmp/d/c.txt'],
        bigIsEqual: true,
      },
    );
  });
  // Meanwhile: there are two processors.
  await check('stock msb: `create` boots a microVM with its own kernel, and `ls` shows it', async () => {
    const options = ['-e', `GREETING=${GREETING}`, '-w', '/tmp', '-m', '256M'];
    ok(await msb(['create', '--name', 'one', '--conf', volume, '--no-net', ...options, IMAGE]));
    assert.match((await msb(['ls'])).stdout, /^one\s.*running/m);
    const { stdout } = ok(await msb(['exec', 'one', '--', 'uname', '-r']));
    assert.notEqual(stdout.trim(), (await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim());
  });
  await sdk;

  await check('stock msb: `exec` brings output, errors, exit code and environment', async () => {
    const told = await msb(['exec', 'one', '--', 'sh', '-c', 'echo "$GREETING"; echo err >&2; exit 3']);
    assert.deepEqual(told, { stdout: `${GREETING}\n`, stderr: 'err\n', code: 3 });
    assert.notEqual((await msb(['exec', 'one', '--', 'no-such-command'])).code, 0);
  });

  await check('stock msb: `exec` carries standard input to its end', async () => {
    const input = 'x'.repeat(300_000);
    const { stdout } = ok(await msb(['exec', 'one', '--', 'wc', '-c'], input));
    assert.equal(stdout.trim(), String(input.length));
  });

  await check('stock msb: `cp` carries a file in and out again', async () => {
    const [up, down] = [join(folder, 'up.bin'), join(folder, 'down.bin')];
    const content = Buffer.alloc(3_000_000, 'carried');
    await writeFile(up, content);
    ok(await msb(['cp', up, 'one:/tmp/file']));
    ok(await msb(['cp', 'one:/tmp/file', down]));
    assert.ok((await readFile(down)).equals(content));
  });

  await check('stock msb: many clients share one guest', async () => {
    const said = await Promise.all(
      [1, 2, 3, 4].map((n) => msb(['exec', 'one', '--', 'sh', '-c', `sleep 1; echo ${n}`])),
    );
    assert.deepEqual(
      said.map(({ stdout }) => stdout),
      ['1\n', '2\n', '3\n', '4\n'],
    );
  });

  await check('stock msb: `stop` ends the machine, `rm` forgets it', async () => {
    ok(await msb(['exec', 'one', '--', 'sh', '-c', 'echo kept > /data/file; ln -s /etc/passwd /data/link']));
    ok(await msb(['stop', 'one']));
    await eventually(async () => (await monitors()).length === 0);
    assert.deepEqual(await msb(['ls', '--stopped', '--quiet']), { stdout: 'one\n', stderr: '', code: 0 });
    ok(await msb(['rm', 'one']));
    assert.deepEqual(await msb(['ls', '--quiet']), { stdout: '', stderr: '', code: 0 });
  });

  await check('stock msb: a named volume outlives its sandboxes', async () => {
    ok(await msb(['create', '--name', 'two', '--conf', volume, '--no-net', IMAGE]));
    assert.equal(ok(await msb(['exec', 'two', '--', 'cat', '/data/file'])).stdout, 'kept\n');
  });

  await check('the guests of a server that is killed run on, and are those of the next one', async () => {
    const running = await monitors();
    assert.equal(running.length, 1);
    await server.kill();
    await using next = await serve(bench);
    assert.deepEqual(await monitors(), running);
    assert.equal(ok(await next.msb(['exec', 'two', '--', 'cat', '/data/file'])).stdout, 'kept\n');
    ok(await next.msb(['rm', '--force', 'two']));
    await eventually(async () => (await monitors()).length === 0);
  });
}

function ok(outcome: CommandOutcome): CommandOutcome {
  assert.equal(outcome.code, 0, `${outcome.stderr}${outcome.stdout}`);
  return outcome;
}
