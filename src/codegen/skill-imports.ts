import type { Language } from '../core/execution.ts';
import { readModuleSyntax } from './module-syntax.ts';
import { readPythonImports } from './python-imports.ts';

/** The folders of the skills that a program imports by statements of its own; of names in Python, all that they may mean. */
export function skillImports(source: string, language: Language): readonly string[] {
  return [...new Set(language === 'python' ? pythonSkills(source) : typescriptSkills(source))];
}

function typescriptSkills(source: string): readonly string[] {
  const specifiers = readModuleSyntax(source)?.imports.map(({ specifier }) => specifier) ?? [];
  return specifiers.flatMap((specifier) => /^skills\/([A-Za-z0-9_-]+)/.exec(specifier)?.[1] ?? []);
}

/** The opposite of `pythonPackage`, as far as names of skills go. */
function pythonSkills(source: string): readonly string[] {
  return readPythonImports(source).imports.flatMap(({ module, name }) => {
    const [root, skill] = name === undefined ? module.split('.') : [...module.split('.'), name];
    if (root !== 'skills' || skill === undefined || !/^\w+$/.test(skill)) return [];
    return [skill, skill.replace(/^_(?=\d)|_$/g, '').replaceAll('_', '-')];
  });
}
