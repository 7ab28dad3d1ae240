import { readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { encodeFrame, FLAG, FrameDecoder, type RawFrame } from '../../protocol/agent-frames.ts';
import { decodeMessage, encodeAnyMessage } from '../../protocol/agent-messages.ts';
import { GUEST_MESSAGE, RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import { encodeLine } from '../../protocol/runner-frames.ts';
import type { Supervisor } from '../runner/supervisor.ts';
import { Agent } from './agent.ts';
import type { AgentOptions } from './agent-options.ts';
import { addFolder, type SetUp } from './set-up.ts';
import { StepPlan } from './step-plan.ts';

const COMMAND_LIMIT_MS = 5_000;
const PATH = '/usr/bin:/bin';
const BUSYBOX = `${RUNTIME_DIRECTORY}/bin/busybox`;
const NO_PROGRAMS: AgentOptions['supervisor'] = {
  open: () => {},
  attach: () => {
    throw new Error('There are no programs in a template');
  },
};
const LIKE_A_CLAIM = {
  ...{ time: 1.5, seed: new Uint8Array(64), hostname: 'guest', env: ['A=b'], workdir: '/' },
  ...{ mounts: [{ source: '0', target: '/workspace', options: ['ro'] }], processes: 1, descriptors: 1, egress: false },
};

/**
 * Does with nobody's data what a customer will do first: commands, and a whole program. An emulated CPU translates code
 * when it first runs, and the engine compiles what has run; afterwards both are done. Everything that was started for it
 * has ended, and nothing of it is left.
 */
export async function rehearse(supervisor: Supervisor): Promise<void> {
  keepInMemory(await runCommand(supervisor, 'sh', ['-c', 'cat /proc/$$/maps /proc/self/maps']));
  for (let time = 0; time < 2; time++) await runCommand(supervisor, 'sh', ['-c', 'cat /proc/version; ls / >/dev/null']);
  await supervisor.ready();
  await runProgram(supervisor);
  await supervisor.ready();
}

/**
 * Does in a template, with nobody's data, what every start does: the engine has then read that code once for all copies.
 * Nothing of it is left, and all that was started has ended.
 */
export async function warmUp(setUp: SetUp): Promise<void> {
  for (let time = 0; time < 2; time++) {
    for (const frame of new FrameDecoder().push(encodeFrame(encodeAnyMessage(0, GUEST_MESSAGE.claim, LIKE_A_CLAIM))))
      decodeMessage(frame);
    const steps = new StepPlan();
    addFolder(steps, '/tmp');
    await setUp.rehearse(steps);
    writeFileSync('/dev/urandom', '');
    readdirSync('/', { withFileTypes: true });
    await runCommand(NO_PROGRAMS, BUSYBOX, ['cat', '/proc/version']);
  }
}

/**
 * Moves the files that these processes have mapped (a shell, the loader, the C library) from the share into the guest's own
 * layer above it: the share has to read a file again whenever it is opened, since the host may have changed it.
 */
function keepInMemory(maps: string): void {
  const files = new Set([...maps.matchAll(/ (\/\S+)$/gm)].map(([, path = '']) => path));
  for (const file of files) {
    try {
      const { atime, mtime } = statSync(file);
      utimesSync(file, atime, mtime);
    } catch {
      // It stays where it is.
    }
  }
}

/** What the command writes to its standard output; what there is of it when it takes too long. */
function runCommand(supervisor: AgentOptions['supervisor'], cmd: string, args: readonly string[]): Promise<string> {
  const ended = Promise.withResolvers<string>();
  const timer = setTimeout(() => ended.resolve(output), COMMAND_LIMIT_MS);
  let output = '';
  const send = (frame: RawFrame) => {
    const { data } = (decodeMessage(frame)?.payload ?? {}) as { data?: Uint8Array };
    if (data !== undefined) output += Buffer.from(data).toString();
    if ((frame.flags & FLAG.terminal) !== 0) ended.resolve(output);
    return true;
  };
  const agent = new Agent({ link: { send, onDrain: () => {} }, supervisor, env: { PATH }, workdir: '/' });
  agent.receive(encodeAnyMessage(1, 'core.exec.request', { cmd, args, env: [], rlimits: [] }));
  agent.receive(encodeAnyMessage(1, 'core.exec.stdin', { data: new Uint8Array(0) }));
  return ended.promise.finally(() => clearTimeout(timer));
}

function runProgram(supervisor: Supervisor): Promise<void> {
  return new Promise((resolve) => {
    const connection = supervisor.attach((line) => {
      if (line.includes('"t":"done"')) resolve();
    });
    const code = 'console.log(1); export default (async () => 1)();';
    connection.receive(encodeLine({ t: 'run', run: 'rehearsal', code, outputBytes: 100, valueBytes: 100 }));
  });
}
