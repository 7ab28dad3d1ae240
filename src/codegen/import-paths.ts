import { SERVERS } from './servers-plugin.ts';
import { SKILL_NAMESPACES } from './skills-plugin.ts';

const PREFIXES = [
  [`${SKILL_NAMESPACES.shared}:`, 'skills/'],
  [`${SKILL_NAMESPACES.own}:`, 'skills/'],
  [`${SERVERS}:`, 'servers/'],
] as const;

/** `text` with the files of bundled modules named as programs import them, and not as the bundler does. */
export function withImportPaths(text: string): string {
  return PREFIXES.reduce((result, [prefix, path]) => result.replaceAll(prefix, path), text);
}
