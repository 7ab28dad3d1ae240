/** One value that one layer gives to one key. */
export interface Entry {
  readonly path: readonly string[];
  readonly value: unknown;
  /** The value as it was written, before variables were replaced. */
  readonly written: unknown;
  /** Where it was written: `default`, `config.yaml:12`, `env MSB_API_KEY`, `flag --timeout`. */
  readonly origin: string;
}

/** Something wrong at one place of the configuration. */
export interface Problem {
  /** Dotted, such as `mcpServers.memory.args[0]`; empty for the file as a whole. */
  readonly key: string;
  readonly origin: string;
  readonly message: string;
}

/** The entries that hold after all layers, the later ones over the earlier ones. */
export function mergeLayers(...layers: readonly (readonly Entry[])[]): readonly Entry[] {
  return [...new Map(layers.flat().map((entry) => [JSON.stringify(entry.path), entry])).values()];
}

/** The entries as one nested object without prototypes, so that no key can reach one. */
export function nest(entries: readonly Entry[]): unknown {
  const root = Object.create(null) as Record<string, unknown>;
  for (const { path, value } of entries) place(root, path, value);
  return root;
}

/** The value at `path` of a nested object. */
export function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (isNested(at) ? at[String(key)] : undefined), root);
}

function place(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let at = root;
  for (const key of path.slice(0, -1)) {
    at[key] ??= Object.create(null);
    const next = at[key];
    // A scalar where a section belongs is kept, for the schema to report.
    if (!isNested(next)) return;
    at = next;
  }
  const last = path.at(-1) ?? '';
  // A section that is named and left empty changes nothing.
  if (isNested(at[last]) && isEmpty(value)) return;
  at[last] = isNested(value) ? Object.create(null) : value;
}

/** True for a section that is named and left empty. */
export function isEmpty(value: unknown): boolean {
  return value === null || (isNested(value) && Object.keys(value).length === 0);
}

function isNested(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
