import { StringDecoder } from 'node:string_decoder';
import { messageOf, WorkcellError } from '../core/errors.ts';
import type { ProgramSession } from '../core/program-session.ts';
import { type ToolOutcome, toolFailed } from '../core/tool-error.ts';
import type { AgentClient, ExecHandle } from '../protocol/agent-client.ts';
import { RUNNER_COMMAND } from '../protocol/guest-bootstrap.ts';
import {
  encodeLine,
  type HostFrame,
  LineDecoder,
  type ProgramSource,
  RUNNER_VERSION,
  type RunnerFrame,
} from '../protocol/runner-frames.ts';
import { runnerFrameSchema } from './runner-frame-schema.ts';

export type RunnerEnd = Extract<RunnerFrame, { t: 'done' }>;

export interface RunHandlers {
  readonly onStarted: () => void;
  readonly onOutput: (stream: 'stdout' | 'stderr', text: string) => void;
  /** `signal` fires when the program has no use for the answer any more. */
  readonly onCall: (call: ProgramCall) => Promise<ToolOutcome>;
  /** Keeps what the program wants to find again when it is resumed, unchecked; resolves when it is kept. Default: nothing is. */
  readonly onCheckpoint?: (checkpoint: { readonly step: unknown; readonly context: unknown }) => Promise<ToolOutcome>;
}

export interface ProgramCall {
  readonly server: string;
  readonly tool: string;
  readonly input: unknown;
  readonly signal: AbortSignal;
}

export type ProgramToRun = ProgramSource & {
  readonly id: string;
  readonly outputBytes: number;
  readonly valueBytes: number;
  readonly session?: ProgramSession;
};

interface Run {
  readonly handlers: RunHandlers;
  readonly done: PromiseWithResolvers<RunnerEnd>;
  /** Cancels an open call, by the number that the program gave it. */
  readonly calls: Map<number, AbortController>;
}

/** The runner of one sandbox: takes programs, any number at once, and carries their tool calls. */
export class RunnerSession {
  readonly #runs = new Map<string, Run>();
  readonly #exec: ExecHandle;
  #ended: WorkcellError | undefined;

  constructor(agent: Pick<AgentClient, 'exec'>) {
    const lines = new LineDecoder();
    const decoder = new StringDecoder('utf8');
    this.#exec = agent.exec(
      { cmd: RUNNER_COMMAND },
      {
        onOutput: (stream, data) => {
          if (stream !== 'stdout') return;
          try {
            for (const frame of lines.push(decoder.write(Buffer.from(data)))) this.#receive(frame);
          } catch (error) {
            this.#end(
              new WorkcellError('protocol_error', `The runner sent nonsense: ${messageOf(error)}`, { cause: error }),
            );
            this.#exec.signal(9);
          }
        },
        onEnd: (end) => this.#end(reasonOf(end)),
      },
    );
  }

  get ended(): WorkcellError | undefined {
    return this.#ended;
  }

  /** Resolves with how the program ended, whatever it did; rejects when the sandbox is lost under it. */
  run(program: ProgramToRun, handlers: RunHandlers): Promise<RunnerEnd> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const done = Promise.withResolvers<RunnerEnd>();
    this.#runs.set(program.id, { handlers, done, calls: new Map() });
    const { id: run, ...rest } = program;
    this.#send({ t: 'run', run, ...rest });
    return done.promise;
  }

  /** Ends the program's processes at once; its end comes as usual. */
  kill(id: string): void {
    this.#send({ t: 'kill', run: id });
  }

  #send(frame: HostFrame): void {
    this.#exec.write(Buffer.from(encodeLine(frame)));
  }

  /** A program can write to the channel of its runner: what one forges there ends that program and nothing else. */
  #receive(frame: Record<string, unknown>): void {
    const parsed = runnerFrameSchema.safeParse(frame);
    if (parsed.success) {
      this.#handle(parsed.data);
      return;
    }
    const id = String(frame['run']);
    const run = this.#runs.get(id);
    if (run === undefined) throw parsed.error;
    this.kill(id);
    this.#runs.delete(id);
    const message = 'The program wrote to the channel of its runner what is not for it to write';
    run.done.resolve({
      t: 'done',
      run: id,
      end: { kind: 'error', error: { name: 'ProtocolError', message, stack: '' } },
      usage: { stdoutBytes: 0, stderrBytes: 0, ms: 0 },
    });
  }

  #handle(frame: RunnerFrame): void {
    if (frame.t === 'hello') {
      if (frame.version !== RUNNER_VERSION)
        throw new Error(`it speaks version ${frame.version}, not ${RUNNER_VERSION}`);
      return;
    }
    const run = this.#runs.get(frame.run);
    if (run === undefined) return;
    if (frame.t === 'started') run.handlers.onStarted();
    else if (frame.t === 'out') run.handlers.onOutput(frame.stream, frame.text);
    else if (frame.t === 'call') void this.#answer(frame, run);
    else if (frame.t === 'checkpoint') void this.#keep(frame, run);
    else if (frame.t === 'cancel') run.calls.get(frame.call)?.abort();
    else {
      this.#runs.delete(frame.run);
      run.done.resolve(frame);
    }
  }

  async #answer(frame: Extract<RunnerFrame, { t: 'call' }>, run: Run): Promise<void> {
    const { server, tool, input } = frame;
    const controller = new AbortController();
    run.calls.set(frame.call, controller);
    const outcome = await run.handlers.onCall({ server, tool, input, signal: controller.signal });
    if (run.calls.get(frame.call) === controller) run.calls.delete(frame.call);
    this.#send({ t: 'answer', run: frame.run, call: frame.call, ...outcome });
  }

  async #keep(frame: Extract<RunnerFrame, { t: 'checkpoint' }>, run: Run): Promise<void> {
    const { step, context } = frame;
    const outcome = (await run.handlers.onCheckpoint?.({ step, context })) ?? toolFailed(CHECKPOINT, NO_SESSION);
    this.#send({ t: 'answer', run: frame.run, call: frame.call, ...outcome });
  }

  #end(error: WorkcellError): void {
    this.#ended ??= error;
    for (const run of this.#runs.values()) run.done.reject(this.#ended);
    this.#runs.clear();
  }
}

const CHECKPOINT = { server: 'runtime', tool: 'checkpoint' };
const NO_SESSION = {
  code: 'not_allowed',
  message: 'This program has no session that could keep a checkpoint',
} as const;

/** Why there is no runner any more. That the guest has none is no fault of whoever wants a program to run. */
function reasonOf(end: number | WorkcellError): WorkcellError {
  if (typeof end === 'number') return new WorkcellError('sandbox_lost', 'The runner of the sandbox has ended');
  if (end.code !== 'not_found') return end;
  return new WorkcellError('protocol_error', `The sandbox has no runner: ${end.message}`, { cause: end });
}
