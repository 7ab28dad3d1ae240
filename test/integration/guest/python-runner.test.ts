import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';

const path = (name: string) => fileURLToPath(new URL(`../../../${name}`, import.meta.url));
const RUNNER = path('src/guest/program/runner.py');

function python(code: string, ...args: readonly string[]): ChildProcess {
  const child = spawn('python3', ['-I', '-B', '-c', code, ...args], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

const files = ['src/guest/program/runner.py', 'src/guest/program/check_calls.py', 'servers/runtime.py'];

it.each(files)('%s can be read by Python 3.9', async (name) => {
  const check = python('import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))', path(name));
  expect((await once(check, 'exit'))[0]).toBe(0);
});

it.each([
  ['3, 8', 'error'],
  ['3, 9', 'waiting'],
])('a runner on Python %s says: %s', async (version, says) => {
  const code = `import sys; sys.version_info = (${version}); exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "__main__", "__file__": sys.argv[1], "__builtins__": __builtins__})`;
  const channel = python(code, RUNNER).stdio[3] as Readable;
  const [line] = await once(channel.setEncoding('utf8'), 'data');
  const frame = JSON.parse(String(line));
  if (says === 'waiting') return expect(frame).toEqual({ t: 'waiting' });
  expect(frame).toMatchObject({
    t: 'end',
    end: {
      kind: 'error',
      error: {
        name: 'PythonUnavailableError',
        message:
          "The sandbox's image has Python 3.8, and programs need 3.9 or later; set sandbox.image to an image that has it",
      },
    },
  });
});
