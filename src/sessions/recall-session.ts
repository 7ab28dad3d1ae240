import type { Landmark } from './landmark.ts';
import { HISTORY_LIMITS, SessionMemory } from './session-memory.ts';
import type { SessionReader } from './session-reader.ts';

/**
 * What a session remembers, from those events alone that it remembers something of. `before`: at the event with this `seq`;
 * default at its end.
 */
export async function recallSession(reader: SessionReader, before = Infinity): Promise<SessionMemory> {
  const memory = new SessionMemory();
  for (const landmark of memorable(reader.landmarks(), before)) memory.push(await reader.event(landmark));
  return memory;
}

/** All of the executions without an outcome and of the last ones with one, the last checkpoint, and whether the session is open. */
function memorable(landmarks: Iterable<Landmark>, before: number): readonly Landmark[] {
  const unfinished = new Map<string, Landmark[]>();
  const finished = new Map<string, Landmark[]>();
  const last = new Map<string, Landmark>();
  for (const landmark of landmarks) {
    const { executionId, seq } = landmark;
    if (seq >= before) break;
    switch (landmark.type) {
      case 'mark':
      case 'approval.requested':
      case 'approval.decided':
        break;
      case 'session.created':
      case 'session.resumed':
      case 'session.closed':
        last.set('session', landmark);
        break;
      case 'checkpoint.set':
        last.set('checkpoint', landmark);
        break;
      case 'execution.started':
      case 'execution.resumed':
      case 'execution.interrupted': {
        const known = unfinished.get(executionId) ?? finished.get(executionId) ?? [];
        finished.delete(executionId);
        unfinished.set(executionId, [...known, landmark]);
        break;
      }
      case 'execution.finished': {
        finished.set(executionId, [...(unfinished.get(executionId) ?? []), landmark]);
        unfinished.delete(executionId);
        const [oldest] = finished.keys();
        if (finished.size > HISTORY_LIMITS.executions && oldest !== undefined) finished.delete(oldest);
        break;
      }
      default: {
        landmark.type satisfies never;
      }
    }
  }
  const all = [...last.values(), ...[...unfinished.values(), ...finished.values()].flat()];
  return all.sort((a, b) => a.seq - b.seq);
}
