import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { schemaHash } from '../core/schema-hash.ts';
import type { StaleTool } from '../core/skill.ts';
import { type ToolDescriptor, toolName } from '../core/tool.ts';

const MAX_TOOLS = 2_000;
const name = z.string().min(1).max(1_000);

const recordSchema = z.object({
  v: z.literal(1),
  /** The execution that the skill was saved from. */
  execution: name,
  savedAt: z.iso.datetime(),
  tools: z
    .array(z.object({ server: name, tool: name, schemaHash: name }))
    .max(MAX_TOOLS)
    .readonly(),
});

/**
 * `workcell.json` beside `SKILL.md`: where a skill comes from, and which tools it was saved with. Not in the front matter,
 * whose values are texts that a model reads.
 */
export type SkillRecord = z.output<typeof recordSchema>;

/** Records a skill that uses these tools as they are. */
export function skillRecord(execution: string, tools: readonly ToolDescriptor[], now: Date = new Date()): SkillRecord {
  const hashed = tools.map((tool) => ({ server: tool.server, tool: tool.tool, schemaHash: schemaHash(tool) }));
  return { v: 1, execution, savedAt: now.toISOString(), tools: hashed };
}

/** Throws `invalid_state` for more tools than are read back. */
export function renderSkillRecord(record: SkillRecord): string {
  if (record.tools.length <= MAX_TOOLS) return `${JSON.stringify(record, null, 2)}\n`;
  const message = `A skill uses at most ${MAX_TOOLS} tools and this one ${record.tools.length}; import only those that it calls`;
  throw new WorkcellError('invalid_state', message);
}

/** Reads a record, whoever wrote it: what it says of tools is a claim. Throws `invalid_state` that says what is wrong. */
export function parseSkillRecord(text: string): SkillRecord {
  const { data, error } = recordSchema.safeParse(parseJson(text));
  if (data !== undefined) return data;
  const [issue] = error.issues;
  throw broken(`${issue?.path.join('.') || 'it'}: ${issue?.message}`);
}

/** The recorded tools that are not what they were, by name. */
export function staleTools({ tools }: SkillRecord, known: readonly ToolDescriptor[]): readonly StaleTool[] {
  const now = new Map(known.map((tool) => [toolName(tool), tool]));
  return tools.flatMap(({ server, tool, schemaHash: hash }): readonly StaleTool[] => {
    const found = now.get(toolName({ server, tool }));
    if (found === undefined) return [{ server, tool, change: 'gone' }];
    return schemaHash(found) === hash ? [] : [{ server, tool, change: 'changed' }];
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw broken('it is not JSON');
  }
}

function broken(reason: string): WorkcellError {
  return new WorkcellError('invalid_state', `Cannot read workcell.json: ${reason}`);
}
