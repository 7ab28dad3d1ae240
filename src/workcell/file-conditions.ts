import { WorkcellError } from '../core/errors.ts';
import type { EntryInfo } from '../util/gated-files.ts';

/** Which versions of a file something may be done to; `*` is any that exists. Lets two who change one file find out. */
export interface FileConditions {
  readonly ifMatch?: '*' | readonly string[] | undefined;
  readonly ifNoneMatch?: '*' | readonly string[] | undefined;
}

/** Throws `precondition_failed` when what is there, if anything, is not as the conditions say. */
export function assertConditions(
  name: string,
  { ifMatch, ifNoneMatch }: FileConditions,
  current: EntryInfo | undefined,
): void {
  const matches = (wanted: '*' | readonly string[]) =>
    current !== undefined && (wanted === '*' || (current.kind === 'file' && wanted.includes(current.version)));
  if (ifMatch !== undefined && !matches(ifMatch)) {
    const state = current === undefined ? 'it is not there' : 'it has changed';
    throw new WorkcellError(
      'precondition_failed',
      `${JSON.stringify(name)} is not as expected: ${state}; read it again`,
    );
  }
  if (ifNoneMatch !== undefined && matches(ifNoneMatch))
    throw new WorkcellError('precondition_failed', `${JSON.stringify(name)} is not as expected: it is there already`);
}
