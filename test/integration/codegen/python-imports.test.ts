import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { readPythonImports } from '../../../src/codegen/python-imports.ts';

const run = promisify(execFile);

/** What Python's own parser finds in the modules of its standard library: a JSON object a line. */
const ORACLE = `
import ast, json, os, pathlib, warnings
warnings.simplefilter("ignore")
for path in sorted(pathlib.Path(os.__file__).parent.glob("*.py")):
    text = path.read_bytes().decode()
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [f"{each.name}::{each.asname or each.name.split('.')[0]}" for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [f"{module}:{each.name}:{'' if each.name == '*' else each.asname or each.name}" for each in node.names]
    print(json.dumps({"path": path.name, "text": text, "found": sorted(found)}))
`;

it('finds the imports of the whole standard library that Python itself finds', async () => {
  const { stdout } = await run('python3', ['-I', '-c', ORACLE], { maxBuffer: 64 * 1024 * 1024 });
  const modules = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { path: string; text: string; found: string[] });
  expect(modules.length).toBeGreaterThan(100);
  for (const { path, text, found } of modules) {
    const imports = readPythonImports(text).imports.map(
      ({ module, name = '', local = '' }) => `${module}:${name}:${local}`,
    );
    expect(imports.sort(), path).toEqual(found.sort());
  }
});
