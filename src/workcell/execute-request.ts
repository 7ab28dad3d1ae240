import { WorkcellError } from '../core/errors.ts';
import { type ExecutionEvent, LANGUAGES, type Language } from '../core/execution.ts';
import type { LoweredLimits } from '../core/limits.ts';
import type { ExecutionOrigin } from './observed-execution.ts';

/** One program, given as code or as a task in words. */
export interface ExecuteRequest extends ExecutionOrigin {
  /** What is to be done; chooses the tools, and alone is turned into a call of the one that fits best. */
  readonly task?: string | undefined;
  readonly code?: string | undefined;
  /** What `code` is written in; default TypeScript. A task alone becomes TypeScript whatever this says. */
  readonly language?: Language | undefined;
  /** `server.tool` each: exactly these tools may be called, whatever the task says. */
  readonly tools?: readonly string[] | undefined;
  /** The session to record it in; one that does not exist is created. Default: a new one. */
  readonly session?: string | undefined;
  /**
   * The same id again is the same execution, never a second run, also after a restart; `signal`, `onEvent`, `timeoutMs` and `limits` are
   * those of the first request. Default: a new id.
   */
  readonly executionId?: string | undefined;
  /** Ends the program; its result is `killed`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds of running; default `limits.timeout` of the configuration. */
  readonly timeoutMs?: number | undefined;
  /** What is above the configuration's has no effect. */
  readonly limits?: LoweredLimits | undefined;
  /** Answers a program that calls a tool wrongly with the mistakes at its lines, before anything of it runs. Default false. */
  readonly typeCheck?: boolean | undefined;
  readonly onEvent?: ((event: ExecutionEvent) => void) | undefined;
}

/** What the program of this request is written in. */
export function languageOf({ code, language }: Pick<ExecuteRequest, 'code' | 'language'>): Language {
  return code === undefined ? 'typescript' : (language ?? 'typescript');
}

/** Throws `invalid_argument` for what cannot be run. */
export function assertRequest({ code, language, timeoutMs }: ExecuteRequest, codeBytes: number): void {
  if (language !== undefined && !LANGUAGES.includes(language)) {
    throw new WorkcellError(
      'invalid_argument',
      `There are no programs in ${JSON.stringify(language)}; the languages are ${LANGUAGES.join(' and ')}`,
    );
  }
  if (timeoutMs !== undefined && !(timeoutMs > 0)) {
    throw new WorkcellError('invalid_argument', `A timeout of ${timeoutMs} ms is none; give more than 0`);
  }
  const bytes = Buffer.byteLength(code ?? '');
  if (bytes <= codeBytes) return;
  throw new WorkcellError(
    'invalid_argument',
    `The program is ${bytes} bytes, over the limit of ${codeBytes}; put data into files of the workspace`,
  );
}
