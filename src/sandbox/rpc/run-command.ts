import { WorkcellError } from '../../core/errors.ts';
import type { AgentClient } from '../../protocol/agent-client.ts';
import type { OutputLine } from '../../protocol/json-rpc.ts';
import { Deadline } from '../../util/deadline.ts';
import { OutputLines } from './output-lines.ts';
import type { RunLimits } from './repl.ts';

const SIGKILL = 9;
const KILL_TIMEOUT_MS = 5_000;
const UNLIMITED_MS = 2 ** 31 - 1;

export interface CommandOutcome {
  readonly exitCode: number;
  readonly output: readonly OutputLine[];
}

/**
 * Runs a command without a shell and without input, to its end; an exit code is a result. Throws `not_found` when it cannot be
 * started, and `deadline_exceeded` or `cancelled` when its process group was killed.
 */
export async function runCommand(
  agent: AgentClient,
  command: { readonly command: string; readonly args: readonly string[] },
  { timeoutMs, signal }: RunLimits,
): Promise<CommandOutcome> {
  const output = new OutputLines();
  const ended = Promise.withResolvers<number | WorkcellError>();
  const running = agent.exec(
    { cmd: command.command, args: command.args },
    { onOutput: (stream, data) => output.push(stream, data), onEnd: (end) => ended.resolve(end) },
  );
  running.closeInput();
  using deadline = new Deadline('The command', timeoutMs ?? UNLIMITED_MS, { signal });
  try {
    const end = await deadline.race(ended.promise);
    if (end instanceof WorkcellError) throw end;
    return { exitCode: end, output: output.finish() };
  } catch (error) {
    if (!deadline.signal.aborted) throw error;
    running.signal(SIGKILL);
    using grace = new Deadline('Killing the command', KILL_TIMEOUT_MS);
    await grace.race(ended.promise);
    const { code, message } = error as WorkcellError;
    throw new WorkcellError(code, `${message}; its processes were killed`, {
      cause: error,
      details: { output: output.finish() },
    });
  }
}
