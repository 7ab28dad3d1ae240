import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { HistoryEvent } from '../../src/core/execution.ts';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../src/core/ids.ts';
import { ExecutionHistory } from '../../src/sessions/execution-history.ts';
import { SessionStore } from '../../src/sessions/session-store.ts';
import { createWorkcell } from '../../src/workcell/workcell.ts';
import { writeConfig } from '../support/cell-config.ts';
import { stdioServer } from '../support/mcp-servers.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { Random } from '../unit/random.ts';
import { CrashDisk, type Survives } from './crash-disk.ts';
import type { Told } from './holder-messages.ts';
import { Holder } from './holder-process.ts';
import { programOf } from './programs.ts';
import type { Recorded } from './recorded.ts';

export interface PowerLossOptions {
  /** How many states of the disk are looked at. */
  readonly states: number;
  readonly seed: number;
}

export interface PowerLossReport {
  readonly states: number;
  /** What was acknowledged in the course of the record, and looked for in each state after it. */
  readonly acknowledged: number;
  readonly problems: readonly string[];
}

const CUSTOMER = parseCustomerId('ann');
const EXECUTION = parseExecutionId('exe_1');
const SESSION = parseSessionId('ses_1');
const RECORDER = join(import.meta.dirname, 'record-writes.ts');

/**
 * Records what a cell does to its workspaces while a program runs in it, and looks at what the disk may hold when the power goes at
 * any moment of it: everything that was synced, and of the rest nothing, all, random parts with torn writes, or random pages.
 */
export async function runPowerLosses({ states, seed }: PowerLossOptions): Promise<PowerLossReport> {
  await using folder = await tempFolder();
  const random = new Random(seed);
  const { disk, record } = await recordRun(folder.path);
  const acks = record.filter((entry) => entry.op === 'ack').length;
  const problems: string[] = [];
  const moments = Array.from({ length: states }, () => random.integer(1, record.length)).sort((a, b) => a - b);
  const told: Told[] = [];
  let at = 0;
  for (const [index, moment] of moments.entries()) {
    for (; at < moment; at++) {
      const entry = record[at];
      if (entry === undefined) break;
      disk.apply(entry);
      if (entry.op === 'ack') told.push(entry.what as Told);
    }
    const survives =
      (['nothing', 'something', 'pages', 'everything', 'something', 'pages'] as const)[index % 6] ?? 'something';
    const left = join(folder.path, 'left');
    await mkdir(left);
    await disk.materialize(left, survives, random);
    problems.push(...(await problemsOf(left, told)).map((text) => `${describe(moment, record, survives)}: ${text}`));
    await rm(left, { recursive: true });
    if (problems.length > 20) break;
  }
  return { states: moments.length, acknowledged: acks, problems };
}

function describe(moment: number, record: readonly Recorded[], survives: Survives): string {
  const { op, ...rest } = record[moment - 1] ?? { op: 'nothing' };
  return `after entry ${moment} (${op} ${JSON.stringify(rest).slice(0, 150)}), ${survives} of the rest survives`;
}

async function recordRun(folder: string): Promise<{ disk: CrashDisk; record: readonly Recorded[] }> {
  const program = join(import.meta.dirname, '../support/counter-server.ts');
  const server = (mode: string) => stdioServer(process.execPath, [program, join(folder, 'counters', mode), mode]);
  const config = await writeConfig(folder, {
    mcpServers: { keyed: { ...server('keyed'), idempotencyKey: true }, plain: server('plain') },
    sandbox: { driver: 'bubblewrap', isolation: 'process' },
  });
  await (await createWorkcell({ config })).close();
  const workspaces = join(folder, 'workspaces');
  const disk = await CrashDisk.of(workspaces);
  const path = join(folder, 'record.jsonl');
  const env = { RECORD_BELOW: workspaces, RECORD_TO: path, NODE_OPTIONS: `--import ${RECORDER}` };
  await using holder = Holder.start(config, env);
  await holder.ready;
  holder.send({
    execution: EXECUTION,
    session: SESSION,
    isNew: true,
    whole: false,
    // Its output takes several pages of the log.
    program: programOf('power', 'typescript')
      .replaceAll('console.log(', 'console.log(LARGE);console.log(')
      .replace('const counter', "const LARGE = 'x'.repeat(9_000);\nconst counter"),
    language: 'typescript',
    hostFile: 'notes/host.txt',
  });
  await holder.killedAt({ kind: 'none' }, 0);
  if (holder.failure !== undefined) throw new Error(`The recorded run failed: ${holder.failure}`);
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  return { disk, record: lines.map((line) => JSON.parse(line) as Recorded) };
}

/** Opens what is left with the real code, and looks for everything that was acknowledged. */
async function problemsOf(workspaces: string, told: readonly Told[]): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const each of told) {
    if (each.kind !== 'written') continue;
    const text = await readFile(join(workspaces, CUSTOMER, 'files', each.path), 'utf8').catch(() => undefined);
    if (text !== each.path) problems.push(`the file ${each.path} is ${text === undefined ? 'gone' : 'damaged'}`);
  }
  const events = told.flatMap((each) => (each.kind === 'event' ? [each.event] : []));
  try {
    const before = await reopen(workspaces);
    const lost = events.filter((event) => !isDeepStrictEqual(before[event.seq - 1], event));
    if (lost.length > 0)
      problems.push(`${lost.length} events are lost, the first ${JSON.stringify(lost[0]).slice(0, 200)}`);
    const after = await reopen(workspaces);
    if (!isDeepStrictEqual(after, before)) problems.push('the log is another one after it went on');
  } catch (error) {
    // Before anything was acknowledged there may be nothing at all.
    if (events.length > 0) problems.push(`the session cannot be opened: ${error}`);
  }
  return problems;
}

/** What the session has of the execution, after which it goes on. */
async function reopen(workspaces: string): Promise<readonly HistoryEvent[]> {
  const store = new SessionStore({ customer: CUSTOMER, sessionsPath: join(workspaces, CUSTOMER, 'sessions') });
  await using session = await store.open(SESSION);
  const history = new ExecutionHistory({ customer: CUSTOMER, sessionId: SESSION, executionId: EXECUTION });
  const events: HistoryEvent[] = [];
  for await (const event of session.read()) {
    const next = history.push(event);
    if (next !== undefined) events.push(next);
  }
  await session.append({ type: 'checkpoint.set', step: 'after the power loss', lastTask: null, context: null });
  return events;
}
