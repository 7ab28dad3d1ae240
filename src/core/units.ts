import { WorkcellError } from './errors.ts';

const TIME = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE = { '': 1, B: 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 } as const;

/** Milliseconds of `250ms`, `30s`, `5m`, `1h`, `30d`, or of a number that already is in milliseconds. */
export function parseDuration(value: string | number): number {
  if (typeof value === 'number') return positive(value, value);
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(value.trim());
  if (match === null) throw unreadable(value, 'a duration such as 500ms, 30s, 5m, 1h or 30d');
  return positive(Math.round(Number(match[1]) * TIME[match[2] as keyof typeof TIME]), value);
}

/** Bytes of `512K`, `64M`, `2G` (binary multiples; `MiB` and `MB` mean the same), or of a plain number of bytes. */
export function parseSize(value: string | number): number {
  if (typeof value === 'number') return positive(value, value);
  const match = /^(\d+(?:\.\d+)?)\s*(|B|K|M|G)(?:iB|B)?$/.exec(value.trim());
  if (match === null) throw unreadable(value, 'a size such as 512K, 64M or 2G');
  return positive(Math.round(Number(match[1]) * SIZE[match[2] as keyof typeof SIZE]), value);
}

/** `1.2 s`, `34 ms`. */
export function formatDuration(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms)} ms`;
}

/** `1.5 MiB`, `12 KiB`, `340 B`. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const unit = bytes < SIZE.M ? 'K' : bytes < SIZE.G ? 'M' : 'G';
  const value = bytes / SIZE[unit];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}iB`;
}

function positive(amount: number, value: string | number): number {
  if (Number.isFinite(amount) && amount > 0) return amount;
  throw unreadable(value, 'more than zero');
}

function unreadable(value: string | number, wanted: string): WorkcellError {
  return new WorkcellError('invalid_argument', `${JSON.stringify(value)} is not ${wanted}`);
}
