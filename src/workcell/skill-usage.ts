import type { Language } from '../core/execution.ts';
import { pythonPackage } from '../core/python-package.ts';

/** The instructions of a skill that was saved: how a program imports these names from it. */
export function skillUsage(name: string, language: Language, exports: readonly string[]): string {
  const names = exports.filter((each) => each !== 'default' && IDENTIFIER.test(each)).join(', ');
  const isRun = exports.length === 1 && exports[0] === 'run';
  const lines =
    language === 'python'
      ? [`from skills.${pythonPackage(name)} import ${names}`, ...(isRun ? ['', 'value = run()'] : [])]
      : [
          `import ${clause(exports, names)} from 'skills/${name}';`,
          ...(isRun ? ['', 'const value = await run();'] : []),
        ];
  return [`# ${name}`, '', `\`\`\`${language}`, ...lines, '```'].join('\n');
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

function clause(exports: readonly string[], names: string): string {
  const parts = [...(exports.includes('default') ? ['value'] : []), ...(names === '' ? [] : [`{ ${names} }`])];
  return parts.join(', ') || '* as skill';
}
