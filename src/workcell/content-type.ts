import { posix } from 'node:path';

/**
 * What a browser cannot be made to run. Files are written by programs of customers, so pages, scripts and drawings with scripts
 * in them are text.
 */
const TYPES: Readonly<Record<string, string>> = {
  '.csv': 'text/csv; charset=utf-8',
  '.gif': 'image/gif',
  '.gz': 'application/gzip',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.json': 'application/json',
  '.jsonl': 'application/x-ndjson',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.ndjson': 'application/x-ndjson',
  '.parquet': 'application/vnd.apache.parquet',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.tar': 'application/x-tar',
  '.wav': 'audio/wav',
  '.webp': 'image/webp',
  '.xlsx': 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  '.zip': 'application/zip',
};
const PLAIN = new Set(
  '.css .htm .html .js .log .md .mjs .py .sh .sql .svg .toml .ts .tsv .txt .xhtml .xml .yaml .yml'.split(' '),
);

/** What a file is by its name; `application/octet-stream` for what is not known. */
export function contentTypeOf(path: string): string {
  const extension = posix.extname(path).toLowerCase();
  return TYPES[extension] ?? (PLAIN.has(extension) ? 'text/plain; charset=utf-8' : 'application/octet-stream');
}
