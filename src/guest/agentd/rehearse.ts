import { FLAG } from '../../protocol/agent-frames.ts';
import { encodeAnyMessage } from '../../protocol/agent-messages.ts';
import { encodeLine } from '../../protocol/runner-frames.ts';
import type { Supervisor } from '../runner/supervisor.ts';
import { Agent } from './agent.ts';

const COMMANDS = ['cat /proc/version', 'cat /etc/hosts; ls / >/dev/null', 'mkdir -p /workspace'];
const COMMAND_LIMIT_MS = 5_000;

/**
 * Does with nobody's data what a customer will do first: commands, files, a whole program. An emulated CPU translates
 * code when it first runs, and the engine compiles what has run; afterwards both are done. Everything that was started for
 * it has ended, and nothing of it is left.
 */
export async function rehearse(supervisor: Supervisor): Promise<void> {
  for (const command of COMMANDS) await runCommand(supervisor, command);
  await supervisor.ready();
  await runProgram(supervisor);
  await supervisor.ready();
}

function runCommand(supervisor: Supervisor, command: string): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, COMMAND_LIMIT_MS);
    const agent = new Agent({
      link: {
        send: ({ flags }) => {
          if ((flags & FLAG.terminal) !== 0) {
            clearTimeout(timer);
            resolve();
          }
          return true;
        },
        onDrain: () => {},
      },
      supervisor,
      env: { PATH: '/usr/bin:/bin' },
      workdir: '/',
    });
    const request = { cmd: 'sh', args: ['-c', command], env: [], rlimits: [] };
    agent.receive(encodeAnyMessage(1, 'core.exec.request', request));
    agent.receive(encodeAnyMessage(1, 'core.exec.stdin', { data: new Uint8Array(0) }));
  });
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
