import { pythonTokens } from './python-tokens.ts';
import type { SkillCode } from './skill-module.ts';

/**
 * A Python program as a package. One that does nothing but define is that module; any other is kept as `program.py`, as its
 * author wrote it, beside a function `run()`, which does again what the program did and gives back its value.
 */
export function skillPackage(program: string, description: string): SkillCode {
  const defined = definitions(program);
  if (defined.length > 0) return { files: new Map([[PACKAGE, program]]), exports: defined };
  const runner = `${literal(description)}\n${RUNNER}`;
  return {
    files: new Map([
      [PACKAGE, runner],
      ['program.py', program],
    ]),
    exports: ['run'],
  };
}

const PACKAGE = '__init__.py';

/** The program sees what it saw when it was one: `__main__`, `emit`, an end by `sys.exit()`. */
const RUNNER = `
import os

__all__ = ["run"]

_PROGRAM = os.path.join(os.path.dirname(__file__), "program.py")


def run():
    """Does again what the program did, and gives its value."""
    with open(_PROGRAM, encoding="utf-8") as file:
        code = compile(file.read(), _PROGRAM, "exec", dont_inherit=True)
    emitted = []

    def emit(value):
        emitted.append(value)

    namespace = {"__name__": "__main__", "__file__": _PROGRAM, "emit": emit}
    try:
        exec(code, namespace)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    return emitted[-1] if emitted else namespace.get("result")
`;

/** The public functions and classes of a source that holds nothing else but imports; none for any other. */
function definitions(source: string): readonly string[] {
  const names: string[] = [];
  let statement: string[] = [];
  for (const { kind, text, start, depth } of pythonTokens(source)) {
    const isIndented = start > 0 && !/[\r\n]/.test(source[start - 1] ?? '');
    if (kind === 'newline') statement = [];
    else if (statement.length === 0 && isIndented) statement = ['indented'];
    else if (depth === 0 && text === ';' && statement[0] !== 'indented') return [];
    else if (statement.length === 0 && !(kind === 'string' || HARMLESS.has(text))) return [];
    else statement.push(text);
    const defined = /^(?:async )?(?:def|class) ([^_].*)$/.exec(statement.join(' '))?.[1];
    if (defined !== undefined && statement.at(-1) === defined) names.push(defined);
  }
  return names;
}

const HARMLESS = new Set(['import', 'from', 'def', 'class', 'async', '@']);

/** JSON of a text without control characters is a string of Python, too. */
function literal(text: string): string {
  return JSON.stringify(text);
}
