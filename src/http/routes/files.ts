import { posix } from 'node:path';
import { z } from 'zod';
import type { ByteRange } from '../../util/gated-files.ts';
import type { FileConditions } from '../../workcell/file-conditions.ts';
import type { FileEntry } from '../../workcell/file-entry.ts';
import { defineRoute, type HttpContext, type Route } from '../define-route.ts';
import { endWhenStalled } from '../end-when-stalled.ts';
import { versionsIn } from '../entity-tags.ts';
import { asAttachment, conditionHeaders, planRead, type ReadPlan, readHeaders, tagOf } from '../plan-read.ts';
import { decodeCursor, encodeCursor, pageFields, pageOf } from '../schemas/page.ts';
import { queryFlag } from '../schemas/query-flag.ts';
import { unpackedSchema } from '../schemas/unpacked.ts';

const FILE = '/customers/{customer}/files/{path*}';
const ARCHIVE = '/customers/{customer}/archive';
const ARCHIVE_TYPES = ['application/x-tar', 'application/gzip', 'application/x-gzip', 'application/octet-stream'];

const fileSchema: z.ZodType<FileEntry> = z
  .object({
    path: z.string().describe('From the top of the workspace, /workspace in programs'),
    kind: z.enum(['file', 'folder', 'link', 'other']),
    size: z.int().nullable().describe('Bytes; of a file only'),
    modifiedAt: z.iso.datetime(),
    contentType: z.string().nullable().describe('By its name; of a file only'),
    version: z.string().nullable().describe('Its ETag, without the quotes; null for one that changes right now'),
  })
  .meta({ id: 'File' });

const pathParams = z.strictObject({ path: z.string().describe('May hold slashes') });
const text = z.string().optional();

/** A range that reads nothing. */
const NOTHING: ByteRange = { start: 0, end: -1 };

/** The files of a customer's workspace. No link is followed, wherever it leads. */
export function fileRoutes({ cell }: HttpContext): readonly Route[] {
  const { maxFileBytes, maxArchiveBytes } = cell.loaded.config.workspace;
  return [
    defineRoute({
      method: 'GET',
      path: '/customers/{customer}/files',
      summary: 'List files',
      scope: 'files',
      query: z.strictObject({
        ...pageFields,
        path: text.describe('The folder; default the top'),
        recursive: queryFlag(false).describe('Also what folders hold'),
      }),
      responses: { 200: { description: 'Each folder before what it holds, by name', schema: pageOf(fileSchema) } },
      handler: async ({ customer, query: { path, recursive, limit, cursor } }) => {
        const after = cursor === undefined ? undefined : decodeCursor(cursor);
        const { entries, next } = await customer.files.list({ path, recursive, limit, after });
        return { body: { items: entries, nextCursor: next === null ? null : encodeCursor(next) } };
      },
    }),
    // Before GET, whose own HEAD would read the file.
    defineRoute({
      method: 'HEAD',
      path: FILE,
      summary: 'Look at a file',
      scope: 'files',
      params: pathParams,
      headers: conditionHeaders,
      responses: {
        200: { description: 'As GET of the whole, without the content' },
        304: { description: 'It has not changed' },
      },
      handler: async ({ customer, params: { path }, headers, requestId }) =>
        planRead(await customer.files.stat(path), headers, requestId).answer,
    }),
    defineRoute({
      method: 'GET',
      path: FILE,
      summary: 'Read a file, or a range of it',
      description: 'A folder is `invalid_state`: list it, or get it as an archive.',
      scope: 'files',
      params: pathParams,
      headers: readHeaders,
      responses: {
        200: { description: 'The content, as an attachment', types: { '*/*': null }, headers: { ETag: 'The version' } },
        206: {
          description: 'The range',
          types: { '*/*': null },
          headers: { 'Content-Range': 'Which bytes of how many' },
        },
        304: { description: 'It has not changed' },
        412: { description: 'It has changed' },
        416: { description: 'There are no such bytes' },
      },
      handler: async ({ customer, params: { path }, headers, requestId }) => {
        let plan: ReadPlan | undefined;
        const { stream } = await customer.files.read(path, (entry) => {
          plan = planRead(entry, headers, requestId);
          return plan.kind === 'content' ? plan.range : NOTHING;
        });
        if (plan === undefined) throw new Error('nothing was planned');
        if (plan.kind === 'content') return { ...plan.answer, body: endWhenStalled(stream) };
        stream.destroy();
        return plan.answer;
      },
    }),
    defineRoute({
      method: 'PUT',
      path: FILE,
      summary: 'Write a file as a whole',
      description:
        'Makes the folders on the way. Readers see the old content or the new one, and it is on disk when it is answered.',
      scope: 'files',
      makesCustomer: true,
      params: pathParams,
      headers: conditionHeaders,
      body: { types: ['*/*'], maxBytes: maxFileBytes },
      responses: {
        200: { description: 'It is replaced', schema: fileSchema, headers: { ETag: 'The new version' } },
        201: { description: 'It is new', schema: fileSchema, headers: { ETag: 'The new version' } },
        412: { description: 'A condition does not hold; nothing has changed' },
      },
      handler: async ({ customer, params: { path }, headers, body }) => {
        const { created, ...entry } = await customer.files.write(path, body, conditionsOf(headers));
        return { status: created ? 201 : 200, headers: tagOf(entry), body: entry };
      },
    }),
    defineRoute({
      method: 'DELETE',
      path: FILE,
      summary: 'Remove a file, a link or a folder',
      scope: 'files',
      params: pathParams,
      query: z.strictObject({ recursive: queryFlag(false).describe('Also a folder that holds something') }),
      headers: conditionHeaders,
      responses: { 204: { description: 'It is gone' }, 412: { description: 'A condition does not hold' } },
      handler: async ({ customer, params: { path }, query: { recursive }, headers }) => {
        await customer.files.delete(path, { ...conditionsOf(headers), recursive });
        return {};
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/customers/{customer}/files',
      summary: 'Make a folder, or move something',
      description: '`{"folder": "a/b"}` makes a folder; `{"from": "a", "to": "b"}` moves a file, a link or a folder.',
      scope: 'files',
      makesCustomer: true,
      body: z.union(
        [
          z.strictObject({ folder: z.string() }),
          z.strictObject({ from: z.string(), to: z.string(), overwrite: z.boolean().default(false) }),
        ],
        { error: 'give "folder", or "from", "to" and perhaps "overwrite"' },
      ),
      responses: { 200: { description: 'What is there afterwards', schema: fileSchema } },
      handler: async ({ customer: { files }, body }) => ({
        body:
          'folder' in body
            ? await files.makeDirectory(body.folder)
            : await files.move(body.from, body.to, { overwrite: body.overwrite }),
      }),
    }),
    defineRoute({
      method: 'GET',
      path: ARCHIVE,
      summary: 'Download a folder as a tar archive',
      description: 'Links are in it as links. What no archive can hold, such as a named pipe, is left out.',
      scope: 'files',
      query: z.strictObject({ path: text.describe('The folder; default the top') }),
      responses: { 200: { description: 'The archive', types: { 'application/x-tar': null } } },
      handler: async ({ customer, query: { path = '' } }) => ({
        type: 'application/x-tar',
        headers: asAttachment(`${posix.basename(path) || customer.id}.tar`),
        body: endWhenStalled(await customer.files.download(path)),
      }),
    }),
    defineRoute({
      method: 'POST',
      path: ARCHIVE,
      summary: 'Unpack a tar archive, plain or gzip, into a folder',
      description:
        'Adds to what is there, and replaces files of the same names. An archive that is refused changes nothing. Hard links, devices, paths that lead outside and names that come twice are refused.',
      scope: 'files',
      makesCustomer: true,
      query: z.strictObject({ path: text.describe('The folder; default the top') }),
      body: { types: ARCHIVE_TYPES, maxBytes: maxArchiveBytes },
      responses: { 200: { description: 'What was in it', schema: unpackedSchema } },
      handler: async ({ customer, query: { path }, body }) => ({ body: await customer.files.upload(body, { path }) }),
    }),
  ];
}

function conditionsOf(headers: z.output<typeof conditionHeaders>): FileConditions {
  return {
    ifMatch: versionsIn(headers['if-match'], { weak: false }),
    ifNoneMatch: versionsIn(headers['if-none-match'], { weak: true }),
  };
}
