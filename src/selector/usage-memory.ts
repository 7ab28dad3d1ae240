import { redactTask } from './redact-task.ts';

/** The tasks that one tool has served, oldest first, each once. */
export interface ToolUsage {
  readonly server: string;
  readonly tool: string;
  /** `schemaHash` of the tool that served them; a tool that is another now has served none. */
  readonly schemaHash: string;
  readonly tasks: readonly RememberedTask[];
}

export interface RememberedTask {
  /** Redacted. */
  readonly text: string;
  /** ISO 8601, when it was last served. */
  readonly at: string;
}

/** What is remembered of one customer. */
export type UsageMemory = readonly ToolUsage[];

export interface ServedTask {
  /** As the customer gave it. */
  readonly task: string;
  /** What a run that succeeded has called for it. */
  readonly tools: readonly Omit<ToolUsage, 'tasks'>[];
  readonly at: Date;
}

/** More tell no more of a tool. */
export const TASKS_PER_TOOL = 30;
/** Of all tools together; beyond that the oldest go. */
export const TASKS_IN_ALL = 2_000;
const HALF_LIFE_DAYS = 90;
const FORGOTTEN_DAYS = 365;

/** The memory with one more task; the same when nothing of the task is left without its values. */
export function rememberTask(memory: UsageMemory, { task, tools, at }: ServedTask): UsageMemory {
  const text = redactTask(task);
  if (text === '') return memory;
  const used = new Map(memory.map((usage) => [keyOf(usage), usage]));
  for (const { server, tool, schemaHash } of tools) {
    const before = used.get(keyOf({ server, tool }));
    // A task that comes every day must not push out the others.
    const others = before?.schemaHash === schemaHash ? before.tasks.filter((known) => known.text !== text) : [];
    const tasks = [...others, { text, at: at.toISOString() }].slice(-TASKS_PER_TOOL);
    used.set(keyOf({ server, tool }), { server, tool, schemaHash, tasks });
  }
  return withinBounds([...used.values()], at);
}

/** What a task counts against one of today: half as much every 90 days. */
export function weightAt({ at }: RememberedTask, now: Date): number {
  return 0.5 ** (Math.max(0, daysSince(at, now)) / HALF_LIFE_DAYS);
}

function withinBounds(memory: UsageMemory, now: Date): UsageMemory {
  const times = memory.flatMap(({ tasks }) => tasks.map(({ at }) => at)).sort();
  const oldest = times.at(-TASKS_IN_ALL) ?? '';
  return memory
    .map((usage) => ({
      ...usage,
      tasks: usage.tasks.filter(({ at }) => at >= oldest && daysSince(at, now) < FORGOTTEN_DAYS),
    }))
    .filter(({ tasks }) => tasks.length > 0);
}

function daysSince(at: string, now: Date): number {
  return (now.getTime() - Date.parse(at)) / 86_400_000;
}

function keyOf({ server, tool }: { readonly server: string; readonly tool: string }): string {
  return `${server}.${tool}`;
}
