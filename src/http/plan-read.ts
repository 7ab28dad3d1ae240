import { posix } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { PROBLEM_TYPE, toProblem } from '../core/problem.ts';
import type { ByteRange } from '../util/gated-files.ts';
import type { FileEntry } from '../workcell/file-entry.ts';
import { byteRangeOf } from './byte-range.ts';
import type { Answer } from './define-route.ts';
import { entityTag, versionsIn } from './entity-tags.ts';

/** Of what is done only to a file that is as expected. */
export const conditionHeaders = z.object({
  'if-match': z.string().optional().describe('Only when the file has one of these ETags; * is any'),
  'if-none-match': z.string().optional().describe('Only when the file has none of these ETags; * is any'),
});

/** Of what gives the content of a file, or a part of it. */
export const readHeaders = conditionHeaders.extend({
  range: z.string().optional().describe('One range of bytes, such as bytes=0-99'),
  'if-range': z.string().optional().describe('The whole unless the file has this ETag'),
});

/** How a file is read: its content, or that of a range; or an answer that needs none of it. */
export type ReadPlan =
  | { readonly kind: 'content'; readonly range: ByteRange | undefined; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly answer: Answer };

/**
 * What a GET is answered with, in the order of RFC 9110, section 13.2.2. Throws `invalid_state` for what is no file, and
 * `precondition_failed`.
 */
export function planRead(entry: FileEntry, headers: z.output<typeof readHeaders>, requestId: string): ReadPlan {
  const { version, size, contentType } = entry;
  if (version === null || size === null || contentType === null)
    throw new WorkcellError('invalid_state', `${JSON.stringify(entry.path)} is a ${entry.kind}, not a file`);
  const [wanted, unwanted] = [
    versionsIn(headers['if-match'], { weak: false }),
    versionsIn(headers['if-none-match'], { weak: true }),
  ];
  if (wanted !== undefined && wanted !== '*' && !wanted.includes(version))
    throw new WorkcellError('precondition_failed', `${JSON.stringify(entry.path)} has changed`);
  if (unwanted !== undefined && (unwanted === '*' || unwanted.includes(version)))
    return { kind: 'refused', answer: { status: 304, headers: tagOf(entry) } };
  const isSame = headers['if-range'] === undefined || headers['if-range'].trim() === entityTag(version);
  const range = isSame ? byteRangeOf(headers.range, size) : undefined;
  if (range === 'unsatisfiable') return { kind: 'refused', answer: noSuchBytes(size, requestId) };
  const length = range === undefined ? size : range.end - range.start + 1;
  const common = {
    ...asAttachment(posix.basename(entry.path)),
    ...tagOf(entry),
    'accept-ranges': 'bytes',
    'content-length': String(length),
    'last-modified': new Date(entry.modifiedAt).toUTCString(),
  };
  const content = { 'content-range': `bytes ${range?.start}-${range?.end}/${size}` };
  const answer =
    range === undefined ? { status: 200, headers: common } : { status: 206, headers: { ...common, ...content } };
  return { kind: 'content', range, answer: { ...answer, type: contentType } };
}

function noSuchBytes(size: number, requestId: string): Answer {
  const error = Object.assign(new Error(`The file has ${size} bytes, none of which is in the range`), {
    statusCode: 416,
  });
  const { problem, headers } = toProblem(error, requestId);
  return {
    status: 416,
    headers: { ...headers, 'content-range': `bytes */${size}` },
    type: PROBLEM_TYPE,
    body: JSON.stringify(problem),
  };
}

/** The version of a file, as a header; nothing for what has none. */
export function tagOf({ version }: FileEntry): Readonly<Record<string, string>> {
  return version === null ? {} : { etag: entityTag(version) };
}

/** Headers of what customers' programs have written: nothing that a browser may run, or show in this server's name. */
export function asAttachment(name: string): Readonly<Record<string, string>> {
  return {
    'x-content-type-options': 'nosniff',
    'content-security-policy': "sandbox; default-src 'none'",
    'cross-origin-resource-policy': 'same-origin',
    'content-disposition': `attachment; filename*=UTF-8''${escapedName(name)}`,
  };
}

/** RFC 6266, with the name in UTF-8 as of RFC 8187. */
function escapedName(name: string): string {
  return encodeURIComponent(name).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
