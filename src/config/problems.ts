import type { z } from 'zod';
import { nearest } from '../util/nearest.ts';
import type { Entry, Problem } from './layer.ts';
import { keysAt } from './schema.ts';

type Issue = z.core.$ZodIssue;

/** What the schema refuses, each with the place where it was written. */
export function problemsOf(error: z.ZodError, entries: readonly Entry[]): readonly Problem[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(key, issue.path, entries));
    return [{ origin: originOf(issue.path, entries), key: keyText(issue.path), message: messageOf(issue) }];
  });
}

function unknownKey(key: string, parent: readonly PropertyKey[], entries: readonly Entry[]): Problem {
  const path = [...parent, key];
  const valid = keysAt(parent);
  const [meant] = nearest(key, valid);
  const hint = meant === undefined ? `valid keys are ${valid.join(', ')}` : `did you mean "${meant}"?`;
  return { origin: originOf(path, entries), key: keyText(path), message: `is not a known key; ${hint}` };
}

/** Where the value at `path` was written, or the first value below it, or the value that holds it. */
function originOf(path: readonly PropertyKey[], entries: readonly Entry[]): string {
  const overlapping = entries.filter((entry) =>
    entry.path.every((key, index) => index >= path.length || key === path[index]),
  );
  const exact = overlapping.find((entry) => entry.path.length === path.length);
  const written = exact ?? overlapping.findLast(({ origin }) => origin !== 'default') ?? overlapping.at(-1);
  return written?.origin ?? 'configuration';
}

function messageOf(issue: Issue): string {
  if (issue.code === 'invalid_key') return issue.issues.map(({ message }) => message).join('; ');
  return issue.message;
}

/** `mcpServers.memory.args[0]`. */
function keyText(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .slice(1);
}
