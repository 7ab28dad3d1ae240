import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type ErrorCode, isWorkcellError } from '../../src/core/errors.ts';
import { parseCustomerId, parseExecutionId, parseSessionId } from '../../src/core/ids.ts';
import { decodeEvent, type StoredEvent } from '../../src/sessions/events.ts';
import { encodeLandmark, type Landmark } from '../../src/sessions/landmark.ts';
import { LandmarkList } from '../../src/sessions/landmark-list.ts';
import { recallSession } from '../../src/sessions/recall-session.ts';
import { recordedCalls } from '../../src/sessions/recorded-calls.ts';
import { sessionLines } from '../../src/sessions/sealed-lines.ts';
import { SessionStore } from '../../src/sessions/session-store.ts';
import { viewSession } from '../../src/sessions/session-view.ts';
import { Secret } from '../../src/util/secret.ts';
import { recordExecution, recordStart } from '../support/record-execution.ts';
import { tempFolder } from '../support/temp-folder.ts';
import type { Random } from '../unit/random.ts';
import { SAMPLE_EVENTS } from '../unit/sessions/sample-events.ts';
import { mutateBytes, mutateJson } from './mutate.ts';
import { openArchiveTarget } from './session-archive-target.ts';
import type { FuzzTarget } from './targets.ts';

type Run = FuzzTarget['run'];

const CUSTOMER = parseCustomerId('acme');
const SESSION = parseSessionId('s1');
const AT = '2026-01-01T00:00:00.000Z';
const EVENTS = SAMPLE_EVENTS.map((event, index) => ({ v: 1, seq: index + 1, at: AT, ...event })) as [
  StoredEvent,
  ...StoredEvent[],
];
const EXECUTIONS = ['e1', 'e2', 'e3'] as const;

/** Everything of a session that can come torn from a disk, or as an archive from anybody. */
export async function openSessionTargets(stack: AsyncDisposableStack): Promise<readonly FuzzTarget[]> {
  // In memory: what a disk does is not looked at here.
  const { path } = stack.use(await tempFolder('/dev/shm'));
  return [
    { name: 'events of sessions', share: 12, run: events },
    { name: 'encrypted lines', share: 8, run: encryptedLines },
    { name: 'landmarks', share: 8, run: landmarks },
    { name: 'logs and indexes', share: 1, run: await openLogTarget(join(path, 'logs')) },
    { name: 'archives of sessions', share: 1, run: await openArchiveTarget(join(path, 'workspaces')) },
  ];
}

/** What is taken for an event can be written and read again, and be shown. */
function events(random: Random): void {
  const value = mutateJson(random.pick(EVENTS), random);
  const decoded = unless(['storage_failed'], () => decodeEvent(value, 'x'));
  if (decoded?.kind !== 'event') return;
  const { event } = decoded;
  const again = decodeEvent(JSON.parse(JSON.stringify(event)), 'x');
  if (again.kind !== 'event' || JSON.stringify(again.event) !== JSON.stringify(event))
    throw new Error('An event changes when it is written');
  const all = [...EVENTS.slice(0, event.seq % EVENTS.length), event, ...EVENTS];
  viewSession({ sessionId: SESSION, customer: CUSTOMER, events: all });
  recordedCalls('e1', all);
  for (const _ in {}) throw new Error('Something was added to the prototype of all objects');
}

const CODEC = sessionLines({ customer: CUSTOMER, session: SESSION }, { current: new Secret('1'.repeat(64)), old: [] });
const SEALED = EVENTS.map((event) => ({ event, line: CODEC.encode(event) })) as [Sealed, ...Sealed[]];
interface Sealed {
  readonly event: StoredEvent;
  readonly line: Buffer;
}

/** What can be read of a changed line is what was written. */
function encryptedLines(random: Random): void {
  const { event, line } = random.pick(SEALED);
  const text = Buffer.from(mutateBytes(line, random)).toString();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return;
  }
  const changed = random.next() < 0.5 ? value : mutateJson(JSON.parse(line.toString()), random);
  const decoded = unless(['storage_failed', 'invalid_config'], () => CODEC.reader(true).decode(changed, 'x'));
  if (decoded === undefined) return;
  if (decoded.kind !== 'event' || !isDeepStrictEqual(decoded.event, event))
    throw new Error('A line was changed, and read');
}

const LANDMARKS = Array.from({ length: 5 }, (_, index): Landmark => {
  const [start, end] = [index * 100, index * 100 + 90];
  return { type: 'execution.started', executionId: `e${index}`, seq: index + 1, start, end, executions: index + 1 };
});
const LANDMARK_BYTES = Buffer.concat(LANDMARKS.map(encodeLandmark));

/** What is taken for a landmark is the one that was written in its place. */
function landmarks(random: Random): void {
  const list = new LandmarkList(Buffer.from(mutateBytes(LANDMARK_BYTES, random))).upTo(random.integer(0, 600));
  const found = [...list.forward()];
  if (!isDeepStrictEqual(found, LANDMARKS.slice(0, found.length))) throw new Error('Landmarks are made up');
  if (!isDeepStrictEqual([...list.backward()], found.toReversed())) throw new Error('Landmarks have two orders');
  const at = list.ordinalAt(random.integer(0, 600));
  if (at < 0 || at > list.length) throw new Error('A place beyond all landmarks');
}

/**
 * A log that was cut off anywhere, with whatever in the place of its index, is read as it is, and goes on. One that was changed is
 * read as far as it makes sense, or refused.
 */
async function openLogTarget(folder: string): Promise<Run> {
  const [logPath, indexPath] = [join(folder, `${SESSION}.jsonl`), join(folder, '.index', SESSION)];
  const stores = [
    { current: undefined, old: [] },
    { current: new Secret('2'.repeat(64)), old: [] },
  ].map((keys) => () => new SessionStore({ customer: CUSTOMER, sessionsPath: folder, keys }));
  const seeds: { newStore: () => SessionStore; log: Buffer; index: Buffer }[] = [];
  await mkdir(folder);
  for (const newStore of stores) {
    await using log = await newStore().create(SESSION);
    await recordExecution(log, 'e1', 'one');
    await recordStart(log, 'e2');
    await log.append({ type: 'checkpoint.set', step: 1, lastTask: null, context: { a: [1] } });
    await recordExecution(log, 'e3', 'three');
    await log.close();
    seeds.push({ newStore, log: await readFile(logPath), index: await readFile(indexPath) });
    // The register stays: it is synced before anything of an index is written.
    for (const path of [logPath, indexPath]) await rm(path);
  }
  return async (random) => {
    const { newStore, log, index } = random.pick(seeds as [(typeof seeds)[0], ...typeof seeds]);
    const isCut = random.next() < 0.5;
    await writeFile(logPath, isCut ? log.subarray(0, random.integer(0, log.length)) : mutateBytes(log, random));
    await writeFile(indexPath, random.next() < 0.2 ? index : mutateBytes(index, random));
    try {
      await readAll(newStore(), isCut);
      if (random.next() < 0.2) await goOn(newStore());
    } catch (error) {
      if (isCut || !isWorkcellError(error) || !['storage_failed', 'invalid_config'].includes(error.code)) throw error;
    }
  };
}

/** `isSame`: nothing but its end is missing, so the index must not change what is read. */
async function readAll(store: SessionStore, isSame: boolean): Promise<void> {
  const all = await Array.fromAsync((await store.find(SESSION)) ?? []);
  const reader = await store.findReader(SESSION);
  if (reader === undefined) throw new Error('There is no session');
  await recallSession(reader);
  for (const executionId of EXECUTIONS) {
    const found = await Array.fromAsync(reader.execution(executionId));
    const expected = all.filter((event) => 'executionId' in event && event.executionId === executionId);
    if (isSame && !isDeepStrictEqual(found, expected)) throw new Error(`The index hides parts of ${executionId}`);
    if (isSame && expected.length > 0 !== ((await store.locate(parseExecutionId(executionId))) !== undefined))
      throw new Error(`${executionId} is not where it is`);
  }
}

async function goOn(store: SessionStore): Promise<void> {
  await using log = await store.open(SESSION);
  const event = await log.append({ type: 'session.resumed', interrupted: [] });
  const last = (await Array.fromAsync(log.read())).at(-1);
  if (!isDeepStrictEqual(last, event)) throw new Error('What was written last is not there');
}

/** Undefined when it is refused with one of these codes. */
function unless<T>(codes: readonly ErrorCode[], work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!isWorkcellError(error) || !codes.includes(error.code)) throw error;
    return undefined;
  }
}
