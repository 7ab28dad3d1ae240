import { WorkcellError } from '../core/errors.ts';

/** A version as an entity tag. */
export function entityTag(version: string): string {
  return `"${version}"`;
}

/**
 * The versions in `If-Match` and the like (RFC 9110, section 8.8.3). With `weak`, tags that are marked as weak count, too. Throws
 * `invalid_argument` for what is no list of entity tags.
 */
export function versionsIn(
  header: string | undefined,
  { weak }: { readonly weak: boolean },
): '*' | readonly string[] | undefined {
  const value = header?.trim();
  if (value === undefined || value === '*') return value;
  if (!LIST.test(value))
    throw new WorkcellError('invalid_argument', `${JSON.stringify(value)} is no list of entity tags, such as "abc"`);
  return [...value.matchAll(TAG)].flatMap(([, isWeak, version = '']) =>
    isWeak !== undefined && !weak ? [] : [version],
  );
}

const TAG = /(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"/g;
const LIST = new RegExp(`^(?:${TAG.source})(?:\\s*,\\s*(?:${TAG.source}))*$`);
