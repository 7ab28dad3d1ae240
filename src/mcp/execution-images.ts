import type { ContentBlock } from '@modelcontextprotocol/sdk/types.js';
import { isWorkcellError, WorkcellError } from '../core/errors.ts';
import { isFields } from '../core/fields.ts';
import { formatSize } from '../core/units.ts';
import type { Customer } from '../workcell/customer.ts';
import type { ExecutionReport } from './execution-report.ts';
import { imageType } from './image-type.ts';
import { fileUri } from './workspace-files.ts';

/** What a model is shown of one answer at most; a base64 text is a third longer. */
export const IMAGE_LIMITS = { images: 8, imageBytes: 3 * 1024 * 1024, allBytes: 6 * 1024 * 1024, depth: 8 } as const;

export interface ReportWithImages extends ExecutionReport {
  /** Images, and links to those that are too large to be shown. */
  readonly images: readonly ContentBlock[];
}

/**
 * Takes the images out of a program's value: each `{ type: 'image', data }` in base64, as tools give them, and each
 * `{ type: 'image', path }` of a file below `/workspace`. Where one was stands what became of it.
 */
export async function withImages(report: ExecutionReport, customer: Customer): Promise<ReportWithImages> {
  const images = new ImageTaker(customer);
  const value = await images.take(report.value);
  return { ...report, value, images: images.blocks };
}

class ImageTaker {
  readonly blocks: ContentBlock[] = [];
  readonly #customer: Customer;
  #shown = 0;
  #bytes = 0;

  constructor(customer: Customer) {
    this.#customer = customer;
  }

  async take(value: unknown, depth = 0): Promise<unknown> {
    if (depth === IMAGE_LIMITS.depth || typeof value !== 'object' || value === null) return value;
    if (isImage(value)) return this.#takeImage(value);
    const taken: [string, unknown][] = [];
    for (const [key, field] of Object.entries(value)) taken.push([key, await this.take(field, depth + 1)]);
    return Array.isArray(value) ? taken.map(([, field]) => field) : Object.fromEntries(taken);
  }

  async #takeImage(image: ImageValue): Promise<Record<string, unknown>> {
    try {
      return 'path' in image ? await this.#takeFile(image.path) : this.#show(bytesOf(image.data));
    } catch (error) {
      if (!isWorkcellError(error)) throw error;
      return { type: 'image', problem: error.message };
    }
  }

  async #takeFile(given: string): Promise<Record<string, unknown>> {
    const path = given.replace(/^(\/workspace\/|\.\/)/, '');
    const { files } = await this.#customer.workspace();
    const { size } = await files.stat(path);
    if (this.#hasRoomFor(size)) return { path, ...this.#show(await files.readFile(path, { maxBytes: size })) };
    const uri = fileUri(path);
    this.blocks.push({
      type: 'resource_link',
      uri,
      name: path,
      description: `too large to show (${formatSize(size)})`,
    });
    return { type: 'image', path, bytes: size, uri };
  }

  #show(bytes: Buffer): Record<string, unknown> {
    const mimeType = imageType(bytes);
    if (mimeType === undefined)
      throw new WorkcellError('invalid_argument', 'It is no PNG, JPEG, GIF or WebP, and is not shown');
    if (!this.#hasRoomFor(bytes.length))
      throw new WorkcellError(
        'invalid_argument',
        'It is too large, or one image too many, and is not shown; write it to /workspace and return its path',
      );
    this.#shown += 1;
    this.#bytes += bytes.length;
    this.blocks.push({ type: 'image', data: bytes.toString('base64'), mimeType });
    return { type: 'image', mimeType, bytes: bytes.length, shown: this.#shown };
  }

  #hasRoomFor(bytes: number): boolean {
    const { images, imageBytes, allBytes } = IMAGE_LIMITS;
    return this.#shown < images && bytes <= imageBytes && this.#bytes + bytes <= allBytes;
  }
}

/** Base64, perhaps as a URL that has it. */
function bytesOf(data: string): Buffer {
  return Buffer.from(data.replace(/^data:[^,]{0,100},/, ''), 'base64');
}

type ImageValue = { readonly data: string } | { readonly path: string };

function isImage(value: object): value is ImageValue {
  if (!isFields(value) || value['type'] !== 'image') return false;
  return typeof value['path'] === 'string' || typeof value['data'] === 'string';
}
