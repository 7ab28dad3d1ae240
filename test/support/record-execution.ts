import type { SessionEvent } from '../../src/sessions/events.ts';

interface Recorder {
  append(event: SessionEvent): Promise<unknown>;
}

const selection = { mode: 'none', considered: 0, tools: [], noMatch: null } as const;
const ENDED = { limit: null, exitCode: null, sandbox: null, timing: null } as const;

/** Records that an execution starts. */
export async function recordStart(log: Recorder, executionId: string, program = 'return 1'): Promise<void> {
  const facts = { task: null, language: 'typescript', program, selection, planner: 'none' } as const;
  await log.append({ type: 'execution.started', executionId, ...facts });
}

export async function recordOutput(log: Recorder, executionId: string, text: string): Promise<void> {
  await log.append({ type: 'output', executionId, stream: 'stdout', text });
}

export async function recordFinish(
  log: Recorder,
  executionId: string,
  status: 'completed' | 'interrupted' = 'completed',
): Promise<void> {
  const output = { stdoutBytes: 0, stderrBytes: 0, truncated: false };
  await log.append({ type: 'execution.finished', executionId, status, value: 1, error: null, output, ...ENDED });
}

/** Records an execution from its start to its end. */
export async function recordExecution(log: Recorder, executionId: string, ...texts: readonly string[]): Promise<void> {
  await recordStart(log, executionId);
  for (const text of texts) await recordOutput(log, executionId, text);
  await recordFinish(log, executionId);
}
