import { pascalCase } from './identifiers.ts';
import type { Docs } from './type-model.ts';

/** What is known of a type, as paragraphs; empty ones may be among them. `mark` is how a language says deprecated. */
export function docParagraphs({ description, facts, fallback, example, deprecated }: Docs, mark: string): string[] {
  const lines = [
    ...(facts.length === 0 ? [] : [pascalCase(facts.join(', '))]),
    ...(fallback === undefined ? [] : [`Default: ${fallback}`]),
    ...(example === undefined ? [] : [`Example: ${example}`]),
    ...(deprecated ? [mark] : []),
  ];
  return [description, lines.join('\n')];
}
