import { posix } from 'node:path';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type ErrorCode, WorkcellError } from '../../core/errors.ts';
import {
  VOLUME_FILE_HEADERS,
  type VolumeFileInfo,
  volumePathSchema,
  volumeTransferSchema,
} from '../../protocol/rest.ts';
import type { EntryInfo, GatedFiles } from '../../util/gated-files.ts';
import { isNoVolume } from '../volume-record.ts';
import type { VolumeStore } from '../volumes.ts';
import { parse } from './parse.ts';
import { answerErrors } from './volumes.ts';

const FILES = '/v1/volumes/:id/files';
/** Of one folder; clients get no page of a listing, only all of it. */
const MAX_ENTRIES = 100_000;
/** A client that neither sends nor reads anything for as long is gone. */
const STALLED_MS = 60_000;
/** The original's words for what is wrong with a path. */
const CODES: { readonly [Code in ErrorCode]?: string } = {
  not_found: 'volume_file_not_found',
  invalid_argument: 'invalid_volume_path',
  invalid_state: 'invalid_volume_path',
};
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;

/**
 * `/v1/volumes/{id}/files`: the files of a volume, without a sandbox.
 *
 * Guests put there what they like. Links are neither followed nor listed, nor is anything else than files and folders,
 * for which clients have no word; all of it can be removed.
 */
export async function volumeFileRoutes(app: FastifyInstance, volumes: VolumeStore): Promise<void> {
  answerErrors(app, (error) => (isNoVolume(error) ? 'volume_not_found' : CODES[error.code]));
  const open = async (request: FastifyRequest): Promise<GatedFiles> => {
    const { id } = parse(z.object({ id: z.string() }), request.params, 'path');
    return await volumes.filesOf(request.principal.org.id, id);
  };

  app.get(FILES, async (request) => {
    const path = pathOf(request);
    const { entries, truncated } = await (await open(request)).list(path, { maxEntries: MAX_ENTRIES });
    if (truncated) {
      throw new WorkcellError(
        'invalid_state',
        `The folder holds more than the ${MAX_ENTRIES} entries that can be listed`,
      );
    }
    return { entries: entries.flatMap((entry) => describe(posix.join('/', path, entry.name), entry)) };
  });

  app.get(`${FILES}/stat`, async (request) => {
    const path = pathOf(request);
    const [metadata] = describe(posix.join('/', path), await (await open(request)).stat(path));
    if (metadata !== undefined) return { metadata };
    throw new WorkcellError('invalid_state', 'This is neither a file nor a folder; it can be removed only');
  });

  app.get(`${FILES}/exists`, async (request) => ({ exists: await (await open(request)).exists(pathOf(request)) }));

  app.get(`${FILES}/content`, async (request, reply) => {
    const { size, stream } = await (await open(request)).openFile(pathOf(request));
    endWhenStalled(request);
    return reply.headers({ 'content-type': 'application/octet-stream', 'content-length': size }).send(stream);
  });

  app.post(`${FILES}/mkdir`, async (request, reply) => {
    const { path } = parse(volumePathSchema, request.body, 'body');
    await (await open(request)).makeDirectory(relative(path));
    return reply.status(204).send();
  });

  app.post(`${FILES}/copy`, async (request, reply) => {
    const { from, to } = parse(volumeTransferSchema, request.body, 'body');
    await (await open(request)).copyFile(relative(from), relative(to));
    return reply.status(204).send();
  });

  app.post(`${FILES}/rename`, async (request, reply) => {
    const { from, to } = parse(volumeTransferSchema, request.body, 'body');
    await (await open(request)).rename(relative(from), relative(to));
    return reply.status(204).send();
  });

  app.delete(FILES, async (request, reply) => {
    const recursive = request.headers[VOLUME_FILE_HEADERS.recursive] === 'true';
    await (await open(request)).remove(pathOf(request), { recursive });
    return reply.status(204).send();
  });

  // Bodies of this one route are content, whatever they claim to be.
  await app.register(async (uploads) => {
    uploads.removeAllContentTypeParsers();
    uploads.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    uploads.put(`${FILES}/content`, { bodyLimit: Number.MAX_SAFE_INTEGER }, async (request, reply) => {
      endWhenStalled(request);
      try {
        const files = await open(request);
        // What cannot be written is still read: a client hears of a failure only when it has sent everything.
        const content = request.body === undefined ? '' : request.raw.iterator({ destroyOnReturn: false });
        await files.writeFile(pathOf(request), content);
      } finally {
        request.raw.resume();
      }
      return reply.status(204).send();
    });
  });
}

/** HTTP's own handler then closes the connection; the next request on it sets the time anew. */
function endWhenStalled({ raw }: FastifyRequest): void {
  raw.socket.setTimeout(STALLED_MS);
}

/** The path that a request is about. Throws `invalid_argument` when its header is missing or is not valid. */
function pathOf(request: FastifyRequest): string {
  const header = request.headers[VOLUME_FILE_HEADERS.path];
  if (typeof header !== 'string' || !/^[A-Za-z0-9_-]*$/.test(header)) {
    throw invalidPath(`the header "${VOLUME_FILE_HEADERS.path}" must hold it as unpadded base64url`);
  }
  try {
    return relative(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(header, 'base64url')),
    );
  } catch (cause) {
    throw invalidPath('it is not valid UTF-8', cause);
  }
}

/** Clients may begin at `/`, the volume itself; and end with one. */
function relative(path: string): string {
  return path.replace(/^\/+/, '').replace(/\/+$/, '');
}

function invalidPath(reason: string, cause?: unknown): WorkcellError {
  return new WorkcellError('invalid_argument', `The path is not valid: ${reason}`, { cause });
}

/** None for what clients have no word for. */
function describe(path: string, info: EntryInfo): readonly VolumeFileInfo[] {
  const { kind, size, mode, uid, gid } = info;
  if (kind !== 'file' && kind !== 'directory') return [];
  return [
    {
      path,
      kind,
      size,
      mode: mode | (kind === 'file' ? S_IFREG : S_IFDIR),
      uid,
      gid,
      readonly: (mode & 0o222) === 0,
      accessed_at: info.accessedAt.toISOString(),
      modified_at: info.modifiedAt.toISOString(),
      created_at: info.createdAt.toISOString(),
    },
  ];
}
