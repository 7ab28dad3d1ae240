import { describe, expect, it } from 'vitest';
import { readPythonImports } from '../../../src/codegen/python-imports.ts';

/** `module:name>local` for each import. */
const imports = (source: string) =>
  readPythonImports(source).imports.map(
    ({ module, name, local }) =>
      `${module}${name === undefined ? '' : `:${name}`}${local === undefined ? '' : `>${local}`}`,
  );

describe('readPythonImports()', () => {
  it.each([
    ['import os', ['os>os']],
    ['import a.b.c', ['a.b.c>a']],
    ['import a.b as c, d', ['a.b>c', 'd>d']],
    ['from a import b', ['a:b>b']],
    ['from a.b import c as d, e', ['a.b:c>d', 'a.b:e>e']],
    ['from a import *', ['a:*']],
    ['from . import a', ['.:a>a']],
    ['from ...a.b import c', ['...a.b:c>c']],
    ['from a import (b, c as d,)', ['a:b>b', 'a:c>d']],
    ['from a import (  # why\n  b,\n\n  c as d,  # "quoted\n)\nimport e', ['a:b>b', 'a:c>d', 'e>e']],
    ['from a \\\n  import b, \\\r\n  c', ['a:b>b', 'a:c>c']],
    ['import a; import b; x = 1; from c import d', ['a>a', 'b>b', 'c:d>d']],
    ['if x: import a\nelse: from b import c', ['a>a', 'b:c>c']],
    ['def f(x: int = 1) -> int:\n\tfrom a import b\n\treturn b', ['a:b>b']],
    ['try:\r\n    import a\r\nexcept ImportError:\r\n    import b\r\n', ['a>a', 'b>b']],
    ['import größe', ['größe>größe']],
  ])('reads %j', (source, expected) => {
    expect(imports(source)).toEqual(expected);
  });

  it.each([
    ['# import a'],
    ["'import a'"],
    ['"""\nimport a\n"""'],
    ["x = '''\nimport a\n'''"],
    ["x = r'\\' import a'"],
    ['x = "\\\nimport a"'],
    ['x = (\nimport_a\n)'],
    ['def g():\n  yield from import_a'],
    ['raise ValueError() from error'],
    ['x.from_, x.imports = 1, 2'],
    ['f = lambda: 0'],
    ['x = {"a": imports}'],
    ['importa'],
    ['import'],
    ['from'],
    ['from a'],
    ['from a import'],
    [''],
  ])('finds nothing in %j', (source) => {
    expect(imports(source)).toEqual([]);
  });

  it.each([
    ['single quotes', "x = 'it\\'s'"],
    ['prefixes of every kind', `x = rb'a' Rb"b" F'c' u"d" bR'''e''' fr"{'f'}" t'g'`],
    ['quotes within other quotes', `x = "it's" + '"'`],
    ['a format string', `x = f"{a['b']} {{c}} {d!r:>{width}}"`],
    ['a format string with its own quotes inside', `x = f"{a["b"]} {f"{c["d"]}"}"`],
    ['a format whose fill is a quote', `x = f"{a:'>10}"`],
    ['a format string over several lines', `x = f"""\n{a["b"]}\n'"""`],
    ['a lambda and a slice', 'x = (lambda a: a)[1:2]'],
    ['an annotation', 'x: dict[str, int] = {"a": 1}'],
    ['a number', 'x = 0x1f + 1_000.5e3j'],
    ['emoji', "x = '🐍'; 🐍"],
    ['a comment with a quote', "x = 1  # it's"],
  ])('finds the import behind %s', (_what, line) => {
    expect(imports(`${line}\nimport a\n`)).toEqual(['a>a']);
  });

  it.each([
    ['an open quote', "x = 'abc\nimport a", ['a>a']],
    ['an open triple quote', "x = '''abc\nimport a", []],
    ['an open bracket', 'x = (1\nimport a', []],
    ['a bracket too many', 'x = 1)\nimport a', ['a>a']],
    ['an open format string', 'x = f"{a', []],
    ['format strings within one another without end', 'f"{'.repeat(50_000), []],
    ['formats within one another without end', `f"${'{:'.repeat(50_000)}`, []],
    ['a lone backslash', 'import a\\', ['a\\>a\\']],
  ])('comes to an end with %s', (_what, source, expected) => {
    expect(imports(source)).toEqual(expected);
  });

  it.each([
    ['', ''],
    ['x = 1', ''],
    ['# comment\nx = 1', ''],
    ['"""Doc."""\nx = 1', '"""Doc."""\n'],
    [
      '#!/usr/bin/env python3\n\n"""Doc\nof two lines."""\n\nx = 1',
      '#!/usr/bin/env python3\n\n"""Doc\nof two lines."""\n',
    ],
    ['from __future__ import annotations\nx = 1', 'from __future__ import annotations\n'],
    [
      "'Doc'\nfrom __future__ import (\n  annotations,\n)\nimport a",
      "'Doc'\nfrom __future__ import (\n  annotations,\n)\n",
    ],
    ['"Doc" \'of two parts\'\n"no doc"\n', '"Doc" \'of two parts\'\n'],
    ['x = 1\n"""no doc"""\n', ''],
    ['"""Doc."""', '"""Doc."""'],
  ])('tells where the statements of %j begin', (source, head) => {
    expect(source.slice(0, readPythonImports(source).start)).toBe(head);
  });
});
