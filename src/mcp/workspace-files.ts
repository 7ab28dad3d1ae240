import { buffer } from 'node:stream/consumers';
import type { Resource } from '@modelcontextprotocol/sdk/types.js';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import type { ByteRange, GatedFiles, Listing } from '../util/gated-files.ts';
import type { Customer } from '../workcell/customer.ts';
import { CHARACTER_BYTES, type FilePart, filePartOf, textOfPart } from './file-part.ts';
import { imageType } from './image-type.ts';
import type { ResourceContents, ResourcePage, ResourceSource } from './resource-source.ts';

const PREFIX = 'workcell://workspace/';
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const PAGE = 100;
/** Folders and links are looked at, too, and are no resources. */
const MAX_LOOKED_AT = 2_000;

/** The URI of a file of the workspace, by its path below `/workspace`. */
export function fileUri(path: string): string {
  return PREFIX + path.split('/').map(encodeURIComponent).join('/');
}

/** The files that a customer's programs see below `/workspace`, folder by folder in the order of their names. */
export class WorkspaceFiles implements ResourceSource {
  readonly template = {
    name: 'file',
    uriTemplate: `${PREFIX}{+path}{?offset,length}`,
    title: 'A file of the workspace',
    description: 'What programs see below /workspace; `offset` and `length` give a part of it, in bytes',
  };
  readonly #customer: Customer;

  constructor(customer: Customer) {
    this.#customer = customer;
  }

  /** `cursor`: the path that was looked at last; it need not be there any more. */
  async list(cursor: string | undefined): Promise<ResourcePage> {
    const files = await this.#files();
    if (files === undefined) return { resources: [] };
    const resources: Resource[] = [];
    let lookedAt = 0;
    for await (const entry of walk(files, [], cursor?.split('/') ?? [])) {
      if (entry.kind === 'file') resources.push({ name: entry.path, uri: fileUri(entry.path), size: entry.size });
      lookedAt += 1;
      if (resources.length === PAGE || lookedAt === MAX_LOOKED_AT) return { resources, next: entry.path };
    }
    return { resources };
  }

  read(uri: string): Promise<ResourceContents> | undefined {
    return uri.startsWith(PREFIX) ? this.#read(uri) : undefined;
  }

  async #read(uri: string): Promise<ResourceContents> {
    const [address = '', query = ''] = uri.split('?', 2);
    const path = pathOf(address);
    const part = filePartOf(query, MAX_FILE_BYTES);
    const files = await this.#files();
    if (files === undefined) throw new WorkcellError('not_found', 'The workspace is empty');
    const { stream } = await files.openFile(path, ({ size }) => {
      if (part !== undefined) return rangeOf(part, size);
      if (size <= MAX_FILE_BYTES) return undefined;
      const first = `${address}?offset=0&length=${MAX_FILE_BYTES}`;
      throw new WorkcellError(
        'invalid_state',
        `it has ${size} bytes, which are too many at once; read it in parts: ${first}`,
      );
    });
    const bytes = await buffer(stream);
    return { uri, ...contentOf(bytes, part) };
  }

  /** Looking at a customer must not make one. */
  async #files(): Promise<GatedFiles | undefined> {
    return (await this.#customer.exists()) ? (await this.#customer.workspace()).files : undefined;
  }
}

interface Walked {
  readonly path: string;
  readonly kind: string;
  readonly size: number;
}

/** Everything below a folder that comes after a path. */
async function* walk(files: GatedFiles, folder: readonly string[], after: readonly string[]): AsyncGenerator<Walked> {
  const [first, ...rest] = after;
  for (const { name, kind, size } of await entriesOf(files, folder)) {
    // A name that is no UTF-8 cannot be asked for.
    if (name.includes('\ufffd') || (first !== undefined && name < first)) continue;
    const path = [...folder, name];
    if (name !== first || (kind !== 'directory' && rest.length > 0)) yield { path: path.join('/'), kind, size };
    if (kind === 'directory') yield* walk(files, path, name === first ? rest : []);
  }
}

/** A program may remove a folder at any time, and make one that is too deep for its path. */
async function entriesOf(files: GatedFiles, folder: readonly string[]): Promise<Listing['entries']> {
  try {
    return (await files.list(folder.join('/'))).entries;
  } catch (error) {
    if (isWorkcellError(error) && GONE.has(error.code) && folder.length > 0) return [];
    throw error;
  }
}

const GONE: ReadonlySet<string> = new Set(['not_found', 'invalid_state', 'invalid_argument']);

function pathOf(uri: string): string {
  try {
    return decodeURIComponent(uri.slice(PREFIX.length));
  } catch (cause) {
    throw new WorkcellError('invalid_argument', `${JSON.stringify(uri)} is not a valid URI`, { cause });
  }
}

/** The bytes of a part, and those that may be the rest of its last character. */
function rangeOf({ offset, length }: FilePart, size: number): ByteRange {
  if (offset > size) throw new WorkcellError('invalid_argument', `it has ${size} bytes, and none at ${offset}`);
  return { start: offset, end: Math.min(offset + length + CHARACTER_BYTES - 1, size) - 1 };
}

function contentOf(
  bytes: Buffer,
  part: FilePart = { offset: 0, length: bytes.length },
): { text: string; mimeType: string } | { blob: string; mimeType: string } {
  const blob = bytes.toString('base64', 0, part.length);
  const image = part.offset === 0 ? imageType(bytes) : undefined;
  if (image !== undefined) return { blob, mimeType: image };
  const text = textOfPart(bytes, part);
  return text === undefined ? { blob, mimeType: 'application/octet-stream' } : { text, mimeType: 'text/plain' };
}
