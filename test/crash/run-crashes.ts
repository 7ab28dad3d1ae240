import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type HistoryEvent, LANGUAGES } from '../../src/core/execution.ts';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../src/core/ids.ts';
import { ExecutionHistory } from '../../src/sessions/execution-history.ts';
import { SessionStore } from '../../src/sessions/session-store.ts';
import { Secret } from '../../src/util/secret.ts';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { writeConfig } from '../support/cell-config.ts';
import { stdioServer } from '../support/mcp-servers.ts';
import { eventually } from '../support/processes.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { Random } from '../unit/random.ts';
import type { Command } from './holder-messages.ts';
import { Holder } from './holder-process.ts';
import { fileText, KEYED_PER_ROUND, programOf, ROUNDS } from './programs.ts';

export interface CrashOptions {
  /** How often the process that holds the cell is killed. */
  readonly kills: number;
  readonly seed: number;
  readonly onEvent?: (text: string) => void;
}

export interface CrashReport {
  /** By how the moment was chosen. */
  readonly kills: Readonly<Record<string, number>>;
  readonly executions: number;
  /** Events, files and checkpoints that were acknowledged, and looked for after each kill. */
  readonly acknowledged: number;
  /** Calls whose fate nobody knew. */
  readonly unknown: number;
  /** Everything that must not be. */
  readonly problems: readonly string[];
}

const COUNTER_SERVER = join(import.meta.dirname, '../support/counter-server.ts');
const CUSTOMER = parseCustomerId('ann');
const MAX_MS = 1_200;
const MAX_EVENTS = 20;
const MAX_SYNCS = 20;

/**
 * Kills the process that holds a cell, again and again, at random moments and at chosen ones, while a program in it calls tools,
 * writes files, prints and sets checkpoints; each time another process resumes the execution with a replay.
 */
export async function runCrashes({ kills, seed, onEvent = () => {} }: CrashOptions): Promise<CrashReport> {
  await using folder = await tempFolder();
  const counters = join(folder.path, 'counters');
  const cache = { NODE_COMPILE_CACHE: join(folder.path, 'compiled') };
  const server = (idempotencyKey: boolean) => {
    const args = [
      COUNTER_SERVER,
      join(counters, idempotencyKey ? 'keyed' : 'plain'),
      idempotencyKey ? 'keyed' : 'plain',
    ];
    const env = { NODE_COMPILE_CACHE: new Secret(cache.NODE_COMPILE_CACHE) };
    return stdioServer(process.execPath, args, { env, idempotencyKey });
  };
  const config = await writeConfig(folder.path, {
    mcpServers: { keyed: server(true), plain: server(false) },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
    limits: { toolCalls: 1000 },
  });
  // Reads the tools of the servers, once for all.
  await (await createWorkcell({ config })).close();

  const check = new Check(folder.path, counters);
  const random = new Random(seed);
  const counts: Record<string, number> = {};
  let done = 0;
  let number = 0;
  let hosts = 0;
  await using stack = new AsyncDisposableStack();
  const start = () => stack.use(Holder.start(config, cache));
  let next = start();
  while (done < kills) {
    number += 1;
    const language = random.pick(LANGUAGES);
    const execution = new Execution(`exe_${number}`, `ses_${number}`, `c${number}`);
    let isNew = true;
    while (!execution.isOver) {
      const holder = next;
      await holder.ready;
      hosts += 1;
      const moment = done < kills ? momentOf(random) : { kind: 'none' as const };
      const { id, session, counter } = execution;
      const command: Command = {
        execution: id,
        session,
        isNew,
        whole: random.next() < 0.5,
        program: programOf(counter, language),
        language,
        hostFile: `host-${hosts}`,
        ...(moment.kind === 'sync' ? { dieAtSync: moment } : {}),
      };
      holder.send(command);
      next = start();
      const wasKilled = await holder.killedAt(moment, execution.events.length);
      if (wasKilled) {
        done += 1;
        counts[moment.kind] = (counts[moment.kind] ?? 0) + 1;
        onEvent(`${done} ${language} ${moment.kind} ${id}, ${holder.events.length} events told`);
      } else if (holder.failure !== undefined) check.problem(`a holder failed: ${holder.failure}`);
      // A server that is still at work would take effect after another process has looked.
      await eventually(async () => !(await isSomeoneAt(counters)));
      isNew = !(await check.after(execution, holder)) && isNew;
      if (check.problems.length > 0) return check.report(counts, number);
    }
    await check.counters(execution);
  }
  return check.report(counts, number);
}

export type Moment =
  | { readonly kind: 'none' }
  /** So long after it was told what to do. */
  | { readonly kind: 'time'; readonly ms: number }
  /** When it has told so many events that were not known. */
  | { readonly kind: 'told'; readonly count: number }
  /** Right before or after so many times that a file was synced. */
  | { readonly kind: 'sync'; readonly count: number; readonly isAfter: boolean };

function momentOf(random: Random): Moment {
  switch (random.pick(['time', 'told', 'sync'])) {
    case 'time':
      return { kind: 'time', ms: random.integer(0, MAX_MS) };
    case 'told':
      return { kind: 'told', count: random.integer(1, MAX_EVENTS) };
    default:
      return { kind: 'sync', count: random.integer(1, MAX_SYNCS), isAfter: random.next() < 0.5 };
  }
}

/** What is known of one execution from what its holders have told. */
class Execution {
  readonly id: string;
  readonly session: string;
  readonly counter: string;
  readonly events: HistoryEvent[] = [];
  isOver = false;

  constructor(id: string, session: string, counter: string) {
    this.id = id;
    this.session = session;
    this.counter = counter;
  }
}

/** Looks for everything that was acknowledged. */
class Check {
  readonly problems: string[] = [];
  readonly #folder: string;
  readonly #counters: string;
  readonly #hostFiles: string[] = [];
  #acknowledged = 0;
  #unknown = 0;

  constructor(folder: string, counters: string) {
    this.#folder = folder;
    this.#counters = counters;
  }

  problem(text: string): void {
    this.problems.push(text);
  }

  report(kills: CrashReport['kills'], executions: number): CrashReport {
    return { kills, executions, acknowledged: this.#acknowledged, unknown: this.#unknown, problems: this.problems };
  }

  /** Whether the execution is known. */
  async after(execution: Execution, holder: Holder): Promise<boolean> {
    this.#hostFiles.push(...holder.written);
    this.#acknowledged += holder.written.length;
    for (const event of holder.events) this.#tell(execution, event);
    for (const path of this.#hostFiles) await this.#assertFile(path, path);
    const logged = await this.#logged(execution);
    for (const event of execution.events) {
      if (!isDeepStrictEqual(logged.events[event.seq - 1], event))
        this.problem(
          `event ${event.seq} of ${execution.id} was told and is another, or gone: ${JSON.stringify(event)}`,
        );
    }
    await this.#assertSaid(execution, logged);
    const last = logged.events.at(-1);
    if (last?.type === 'finished' && last.result.status !== 'interrupted') {
      execution.isOver = true;
      if (last.result.status !== 'completed')
        this.problem(`${execution.id} is ${last.result.status}: ${JSON.stringify(last.result.error)}`);
      if (last.result.value !== execution.counter)
        this.problem(`${execution.id} gave ${JSON.stringify(last.result.value)}`);
    }
    return logged.events.length > 0;
  }

  /** Each call of the program has taken effect once, whatever happened on the way. */
  async counters({ counter, id }: Execution): Promise<void> {
    const keyed = await this.#marks('keyed', counter);
    const wanted = Array.from({ length: ROUNDS }, (_, round) => ['', '', `a${round}`]).flat();
    if (wanted.length !== ROUNDS * KEYED_PER_ROUND || !isDeepStrictEqual(keyed, wanted.sort()))
      this.problem(`${id}: the counter with keys has ${JSON.stringify(keyed)}`);
    const plain = await this.#marks('plain', counter);
    if (
      !isDeepStrictEqual(
        plain,
        Array.from({ length: ROUNDS }, (_, round) => `b${round}`),
      )
    )
      this.problem(`${id}: the counter without keys has ${JSON.stringify(plain)}`);
  }

  #tell(execution: Execution, event: HistoryEvent): void {
    const known = execution.events[event.seq - 1];
    if (known === undefined && event.seq === execution.events.length + 1) {
      this.#acknowledged += 1;
      if (event.type === 'tool.returned' && event.error?.code === 'outcome_unknown') this.#unknown += 1;
      execution.events.push(event);
    } else if (!isDeepStrictEqual(known, event))
      this.problem(`event ${event.seq} of ${execution.id} is ${JSON.stringify(event)}, after ${JSON.stringify(known)}`);
  }

  async #logged({ id, session }: Execution): Promise<{ events: HistoryEvent[]; checkpoint: number }> {
    const sessionId = parseSessionId(session);
    const executionId = parseExecutionId(id);
    const store = new SessionStore({ customer: CUSTOMER, sessionsPath: join(this.#folder, 'workspaces/ann/sessions') });
    const history = new ExecutionHistory({ customer: CUSTOMER, sessionId, executionId });
    const events: HistoryEvent[] = [];
    let checkpoint = -1;
    for await (const event of (await store.find(sessionId)) ?? []) {
      if (event.type === 'checkpoint.set') checkpoint = Number(event.step);
      const told = history.push(event);
      if (told !== undefined) events.push(told);
    }
    return { events, checkpoint };
  }

  /** What the program has said it has done. */
  async #assertSaid({ events, counter, id }: Execution, logged: { readonly checkpoint: number }): Promise<void> {
    const text = events.flatMap((event) => (event.type === 'stdout' ? [event.text] : [])).join('');
    // A program that was killed may not have come to the end of its line.
    for (const [line] of text.matchAll(/\{"(?:written|checkpoint)": ?\d+\}/g)) {
      this.#acknowledged += 1;
      const { written, checkpoint } = JSON.parse(line) as { written?: number; checkpoint?: number };
      if (written !== undefined) await this.#assertFile(`${counter}-${written}`, fileText(counter, written));
      if (checkpoint !== undefined && logged.checkpoint < checkpoint)
        this.problem(`${id} has set the checkpoint ${checkpoint}, and its session has ${logged.checkpoint}`);
    }
  }

  async #assertFile(name: string, text: string): Promise<void> {
    const found = await readFile(join(this.#folder, 'workspaces/ann/files', name), 'utf8').catch(() => undefined);
    if (found !== text) this.problem(`${name} was acknowledged, and is ${found === undefined ? 'gone' : 'damaged'}`);
  }

  async #marks(kind: string, counter: string): Promise<readonly string[]> {
    const directory = join(this.#counters, kind, counter);
    const names = await readdir(directory);
    const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
    return texts.map((text) => String((JSON.parse(text) as { mark: string }).mark)).sort();
  }
}

/** Whether a living process names this path in its command line. */
async function isSomeoneAt(path: string): Promise<boolean> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    processes.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
  );
  return commands.some((command) => command.includes(path));
}
