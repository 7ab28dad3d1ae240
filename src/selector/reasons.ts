import type { Match } from './pick-in-turn.ts';
import { FIELDS } from './tool-text.ts';

/** `name: create, entities`: each matched word under the first field that holds it. */
export function reasonsOf(matches: readonly Match[]): string[] {
  const words = FIELDS.map(() => new Set<string>());
  for (const { term, fields } of matches) {
    const { word, synonymOf } = term;
    words[Math.log2(fields & -fields)]?.add(synonymOf === undefined ? word : `${word} (${synonymOf})`);
  }
  return FIELDS.flatMap(({ name }, field) => {
    const list = [...(words[field] ?? [])];
    return list.length === 0 ? [] : [`${name}: ${list.join(', ')}`];
  });
}
