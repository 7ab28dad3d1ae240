import { InvalidArgumentError } from 'commander';
import { LANGUAGES, type Language } from '../core/execution.ts';

/** A whole number above 0. Throws what the parser of options reports as wrong usage, as all of these do. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new InvalidArgumentError('Give a whole number above 0.');
}

/** What stands behind `<language>` options, for their help. */
export const LANGUAGE_CHOICES = 'typescript (ts) or python (py)';

/** A language by its name or by the ending of its files. */
export function parseLanguage(text: string): Language {
  const language = LANGUAGES.find((name) => name === text || ENDINGS[name] === text);
  if (language !== undefined) return language;
  throw new InvalidArgumentError(`Give ${LANGUAGE_CHOICES}.`);
}

const ENDINGS: Readonly<Record<Language, string>> = { typescript: 'ts', python: 'py' };

/** For an option that can be repeated: all of its values. */
export function collect(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}
