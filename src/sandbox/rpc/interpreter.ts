import { randomBytes } from 'node:crypto';
import { WorkcellError } from '../../core/errors.ts';
import type { AgentClient, ExecHandle } from '../../protocol/agent-client.ts';
import type { OutputLine } from '../../protocol/json-rpc.ts';
import { Deadline } from '../../util/deadline.ts';
import { interpreterCommand, type Language } from './language.ts';
import { MarkedStream } from './marked-stream.ts';
import { OutputLines } from './output-lines.ts';

/** An emulated guest takes seconds for its first interpreter. */
const START_TIMEOUT_MS = 60_000;
/** How long a killed process group may take to be gone. */
const KILL_TIMEOUT_MS = 5_000;
const SIGKILL = 9;

/**
 * One interpreter process and its variables; see the drivers for what is said to it. It runs one piece of code at a time.
 *
 * Its outputs carry what the code writes and nothing else but a random marker at the end of each evaluation, which the
 * interpreter is told only when the code has run: code cannot print it, and nothing that was written before it is lost.
 */
export class Interpreter {
  readonly #command: ExecHandle;
  readonly #ended = Promise.withResolvers<number | WorkcellError>();
  readonly #streams: Readonly<Record<'stdout' | 'stderr', MarkedStream>>;
  #output = new OutputLines();
  #gone = false;

  private constructor(agent: AgentClient, language: Language) {
    this.#streams = {
      stdout: new MarkedStream((data) => this.#output.push('stdout', data)),
      stderr: new MarkedStream((data) => this.#output.push('stderr', data)),
    };
    this.#command = agent.exec(interpreterCommand(language), {
      onOutput: (stream, data) => this.#streams[stream].push(data),
      onEnd: (end) => {
        this.#gone = true;
        for (const stream of Object.values(this.#streams)) stream.end();
        this.#ended.resolve(end);
      },
    });
  }

  /** Resolves when it is ready to run code, so that its start does not count against anybody's timeout. */
  static async start(agent: AgentClient, language: Language): Promise<Interpreter> {
    const interpreter = new Interpreter(agent, language);
    using deadline = new Deadline(`Starting the ${language} interpreter`, START_TIMEOUT_MS);
    const { ended, output } = await interpreter.run('', deadline);
    if (ended === undefined) return interpreter;
    const why = ended instanceof WorkcellError ? ended.message : output.map(({ text }) => text).join('; ');
    const code = ended instanceof WorkcellError ? ended.code : 'invalid_state';
    throw new WorkcellError(code, `There is no working ${language} in this sandbox: ${why.slice(0, 500)}`);
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** What the code has written, and how the interpreter has ended if it has. At the deadline it is killed, and this rejects. */
  async run(
    code: string,
    deadline: Deadline,
  ): Promise<{ output: readonly OutputLine[]; ended: number | WorkcellError | undefined }> {
    const marker = Buffer.from(`\0${randomBytes(24).toString('hex')}\0`);
    const marked = Promise.all(
      Object.values(this.#streams).map((stream) => new Promise<void>((resolve) => stream.expect(marker, resolve))),
    );
    this.#command.write(Buffer.concat([block(Buffer.from(code)), block(marker)]));
    try {
      const ended = await deadline.race(Promise.race([marked.then(() => undefined), this.#ended.promise]));
      return { output: this.#takeOutput(), ended };
    } catch (error) {
      await this.#kill();
      throw error;
    }
  }

  /** What is written from here on, by threads and child processes, comes with the next evaluation. */
  #takeOutput(): readonly OutputLine[] {
    const output = this.#output.finish();
    this.#output = new OutputLines();
    return output;
  }

  async #kill(): Promise<void> {
    this.#command.signal(SIGKILL);
    using deadline = new Deadline('Killing the interpreter', KILL_TIMEOUT_MS);
    await deadline.race(this.#ended.promise);
  }
}

function block(data: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.byteLength);
  return Buffer.concat([length, data]);
}
