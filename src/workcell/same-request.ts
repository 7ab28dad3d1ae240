import { WorkcellError } from '../core/errors.ts';
import type { Language } from '../core/execution.ts';
import type { ExecutionId, SessionId } from '../core/ids.ts';
import type { StartedEvent } from '../sessions/execution-history.ts';
import { type ExecuteRequest, languageOf } from './execute-request.ts';

/** What tells one request from another. */
export interface AskedFor {
  readonly code: string | null;
  readonly task: string | null;
  readonly tools: readonly string[] | null;
  readonly language: Language;
  /** Of the texts that were cut, only the beginning is here. */
  readonly truncated: readonly string[];
}

export function askedFor(request: ExecuteRequest): AskedFor {
  const { code = null, task = null, tools = null } = request;
  return { code, task, tools, language: languageOf(request), truncated: [] };
}

/** What was asked for, by the log; undefined for one that does not tell. */
export function recordedAsk({ request, task, language, truncated = [] }: StartedEvent): AskedFor | undefined {
  return request === undefined ? undefined : { code: request.code, task, tools: request.tools, language, truncated };
}

/** Throws `already_exists` unless the request is the one that the execution was started with. */
export function assertSameRequest(
  { id, sessionId }: { readonly id: ExecutionId; readonly sessionId: SessionId },
  request: ExecuteRequest,
  started: AskedFor | undefined,
): void {
  const asked =
    started === undefined ? ['words, which its log does not tell'] : differences(askedFor(request), started);
  const isElsewhere = request.session !== undefined && request.session !== sessionId;
  const other = isElsewhere ? [...asked, 'session'] : asked;
  if (other.length === 0) return;
  throw new WorkcellError(
    'already_exists',
    `The execution "${id}" was started with other ${other.join(', ')}; use another id, or send the same request again`,
    { details: { different: other } },
  );
}

function differences(asked: AskedFor, started: AskedFor): readonly string[] {
  const { truncated } = started;
  const same = {
    code: isSameText(asked.code, started.code, truncated.includes('request.code')),
    task: isSameText(asked.task, started.task, truncated.includes('task')),
    tools: JSON.stringify(asked.tools?.toSorted()) === JSON.stringify(started.tools?.toSorted()),
    language: asked.language === started.language,
  };
  return Object.entries(same).flatMap(([name, isSame]) => (isSame ? [] : [name]));
}

function isSameText(text: string | null, kept: string | null, isCut: boolean): boolean {
  return isCut && text !== null && kept !== null ? text.startsWith(kept) : text === kept;
}
