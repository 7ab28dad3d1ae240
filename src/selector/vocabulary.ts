import { SYNONYM_GROUPS } from './synonym-groups.ts';
import { stem } from './tokenize.ts';

export interface Synonym {
  readonly word: string;
  readonly term: string;
}

/** What often stands for `term` in requests and tools. */
export function synonymsOf(term: string): readonly Synonym[] {
  return SYNONYMS.get(term) ?? [];
}

/** True for the verbs that so many tools share that they hardly tell one from another. */
export function isActionVerb(term: string): boolean {
  return ACTION_VERBS.has(term);
}

const SYNONYMS = readGroups(SYNONYM_GROUPS);

const ACTION_VERBS = new Set(
  `access add analyze assist build calculate change check choose compare compute convert create delete determine discover
  display download edit estimate evaluate execute explain explore fetch find generate handle list load locate look make
  manage modify obtain offer open perform process produce read receive recommend remove retrieve return run save search
  see select send set solve start store submit suggest track update upload use view write`
    .split(/\s+/)
    .map(stem),
);

function readGroups(text: string): Map<string, Synonym[]> {
  const synonyms = new Map<string, Synonym[]>();
  for (const words of text.split(';')) {
    const group = words
      .trim()
      .split(/\s+/)
      .map((word) => ({ word, term: stem(word) }));
    for (const { term } of group) {
      const others = group.filter((other) => other.term !== term);
      synonyms.set(term, [...(synonyms.get(term) ?? []), ...others]);
    }
  }
  return synonyms;
}
