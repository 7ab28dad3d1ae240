import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { messageOf, WorkcellError } from '../core/errors.ts';
import { skillNameProblem } from '../core/skill-name.ts';
import { printable } from '../util/printable.ts';

/** `SKILL.md` as the Agent Skills specification has it: front matter, then instructions in Markdown. */
export interface SkillDocument {
  readonly name: string;
  /** One line. */
  readonly description: string;
  readonly license?: string;
  readonly compatibility?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly allowedTools?: string;
  readonly body: string;
}

/** Characters (code points) of a description; the specification's limit. */
const MAX_DESCRIPTION = 1024;
/** Bytes, and brackets, of front matter: what the specification allows takes less, and a guest could keep the parser busy with more. */
const MAX_FRONT_MATTER = 8 * 1024;
const MAX_BRACKETS = 100;

const text = z.string({ error: 'is not a text' });
const description = text
  .transform(oneLine)
  .refine((value) => value !== '', 'is empty')
  .refine((value) => [...value].length <= MAX_DESCRIPTION, `is longer than ${MAX_DESCRIPTION} characters`);
const frontMatter = z.object({
  name: text,
  description,
  license: text.exactOptional(),
  compatibility: text.max(500, 'is longer than 500 characters').exactOptional(),
  metadata: z.record(z.string(), text, { error: 'is not a map of texts' }).exactOptional(),
  'allowed-tools': text.exactOptional(),
});

/** Reads a `SKILL.md`, whoever wrote it. Throws `invalid_state` that says what is wrong with it. */
export function parseSkillDocument(markdown: string, folder: string): SkillDocument {
  const [whole, yaml] = FRONT_MATTER.exec(markdown) ?? [];
  if (whole === undefined || yaml === undefined)
    throw broken('it does not begin with front matter between lines of ---');
  if (Buffer.byteLength(yaml) > MAX_FRONT_MATTER) throw broken(`its front matter is over ${MAX_FRONT_MATTER} bytes`);
  if ((yaml.match(/[[{]/g)?.length ?? 0) > MAX_BRACKETS) throw broken('its front matter is full of brackets');
  const { data, error } = frontMatter.safeParse(parseYaml(yaml));
  if (data === undefined) {
    const [issue] = error.issues;
    throw broken(
      issue?.path.length === 0 ? 'its front matter is not a map' : `${issue?.path.join('.')} ${issue?.message}`,
    );
  }
  const { 'allowed-tools': allowedTools, ...fields } = data;
  const problem = skillNameProblem(data.name);
  if (problem !== undefined) throw broken(`the name ${JSON.stringify(data.name.slice(0, 80))} ${problem}`);
  if (data.name !== folder) throw broken(`it names itself ${JSON.stringify(data.name)}, which is not its folder`);
  return {
    ...fields,
    ...(allowedTools === undefined ? {} : { allowedTools }),
    body: markdown.slice(whole.length).trim(),
  };
}

/** A `SKILL.md` that {@link parseSkillDocument} reads back. Throws `invalid_argument` for a description that is not allowed. */
export function renderSkillDocument(document: Pick<SkillDocument, 'name' | 'description' | 'body'>): string {
  const { success, data, error } = description.safeParse(document.description);
  if (!success)
    throw new WorkcellError(
      'invalid_argument',
      `The description ${error.issues[0]?.message}; say what the skill does and when to use it`,
    );
  const yaml = stringify(
    { name: document.name, description: data },
    { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' },
  );
  return `---\n${yaml}---\n\n${document.body.trim()}\n`;
}

/** A description out of any text: on one line, and cut to the allowed length. */
export function toDescription(source: string): string {
  const characters = [...oneLine(source)];
  return characters.length <= MAX_DESCRIPTION
    ? characters.join('')
    : `${characters.slice(0, MAX_DESCRIPTION - 1).join('')}…`;
}

const FRONT_MATTER = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/;

/** Every value is a text, a map or a list of them: a reader of YAML that guessed types would make a number of `1.0`. */
function parseYaml(yaml: string): unknown {
  try {
    return parse(yaml, { schema: 'failsafe', maxAliasCount: 0, logLevel: 'error' });
  } catch (error) {
    throw broken(`its front matter is not YAML: ${printable(messageOf(error).split('\n', 1)[0] ?? '')}`, error);
  }
}

function oneLine(source: string): string {
  return printable(source).replace(/\s+/g, ' ').trim();
}

function broken(reason: string, cause?: unknown): WorkcellError {
  return new WorkcellError('invalid_state', `Cannot read SKILL.md: ${reason}`, { cause });
}
