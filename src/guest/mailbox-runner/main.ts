/**
 * The runner for servers without a stream, started as `node mailbox-runner.mjs FOLDER`: frames are files in the folder's
 * mailbox. It runs in other people's images, on their node.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { RUNTIME_NODE } from '../../protocol/guest-bootstrap.ts';
import { HOST_LOST_MS, MAILBOX, messageName } from '../../protocol/runner-mailbox.ts';
import { pythonCommand } from '../runner/options.ts';
import { Supervisor } from '../runner/supervisor.ts';

/** As often as the mailbox is looked into: while there is something to wait for, and otherwise. */
const BUSY_MS = 10;
const QUIET_MS = 50;
const QUIET_AFTER_MS = 5_000;
const HEAP_SHARE = 0.7;
const SHELL = ['/bin/sh'] as const;

const folder = process.argv[2] ?? '.';
const [inbox, outbox] = [`${folder}/${MAILBOX.toGuest}`, `${folder}/${MAILBOX.toHost}`];

let received = 0;
let sent = 0;
let pending = '';
let lastMessage = performance.now();

const supervisor = new Supervisor({
  shell: SHELL,
  commands: {
    typescript: [
      existsSync(RUNTIME_NODE) ? RUNTIME_NODE : process.execPath,
      `--max-old-space-size=${Math.floor((totalmem() * HEAP_SHARE) / 1024 / 1024)}`,
      '--no-warnings',
      `${folder}/${MAILBOX.program}`,
    ],
    python: pythonCommand(SHELL, `${folder}/${MAILBOX.python}`),
  },
  cwd: '/workspace',
});

mkdirSync(outbox, { recursive: true });
supervisor.open(process.env);
const connection = supervisor.attach((line) => {
  if (pending === '') setImmediate(flush);
  pending += line;
});
look();

/** Whole lines only: what a reader sees was renamed when it was complete. */
function flush(): void {
  const path = `${outbox}/${messageName(sent)}`;
  sent += 1;
  writeFileSync(`${path}.tmp`, pending);
  pending = '';
  renameSync(`${path}.tmp`, path);
}

function look(): void {
  // A listing, because a name that was not there may be remembered as missing by the guest's kernel.
  const names = new Set(readdirSync(inbox));
  for (; names.has(messageName(received)); received++) {
    const path = `${inbox}/${messageName(received)}`;
    connection.receive(readFileSync(path, 'utf8'));
    unlinkSync(path);
    lastMessage = performance.now();
  }
  const silence = performance.now() - lastMessage;
  if (silence > HOST_LOST_MS) {
    connection.close();
    process.exit(1);
  }
  setTimeout(look, silence > QUIET_AFTER_MS ? QUIET_MS : BUSY_MS);
}
