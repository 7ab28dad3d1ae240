import type { LoadedConfig } from './load-config.ts';
import { configKeys } from './schema.ts';

export interface ConfigRow {
  /** Dotted, such as `limits.timeout`. */
  readonly key: string;
  /** As it would be written in `config.yaml`; empty for a key without a value; secrets are redacted. */
  readonly value: string;
  /** `default`, `config.yaml:12`, `env MSB_API_KEY`, `flag --timeout`. */
  readonly origin: string;
}

/** One row for every key and where its value comes from, section by section. */
export function describeConfig(loaded: LoadedConfig): readonly ConfigRow[] {
  const set = loaded.values.map(({ path, value, origin }) => ({ key: path.join('.'), value: textOf(value), origin }));
  const unset = configKeys()
    .filter((key) => !key.includes('*') && !set.some((row) => row.key === key))
    .map((key) => ({ key, value: '', origin: 'default' }));
  const sections = [...new Set(configKeys().map(sectionOf))];
  const rank = ({ key }: ConfigRow) => sections.indexOf(sectionOf(key));
  return [...set, ...unset].sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1));
}

function sectionOf(key: string): string {
  return key.split('.', 1)[0] ?? '';
}

/** A `Secret` redacts itself as text. */
function textOf(value: unknown): string {
  return Array.isArray(value) ? JSON.stringify(value) : String(value);
}
