/**
 * The process that runs one program. It is started in advance, waits on descriptor 3 for the program, runs it once and
 * ends. Descriptors 1 and 2 belong to the program alone.
 */
import * as nodeModule from 'node:module';
import { Socket } from 'node:net';
import { encodeLine, LineDecoder, PROGRAM_URL, type ProgramEnd } from '../../protocol/runner-frames.ts';
import { flattenError } from './flatten-error.ts';
import { installModuleHooks } from './module-hooks.ts';
import { ToolCalls } from './tool-calls.ts';

const channel = new Socket({ fd: 3 });
const calls = new ToolCalls({
  send: (frame) => channel.write(encodeLine({ ...frame, run: '' })),
  // Only an open call keeps the process alive, so that a program ends when nothing is left to do, as with `node file`.
  onPending: (pending) => (pending ? channel.ref() : channel.unref()),
});
// Programs are ES modules, and models write `require` all the same.
Object.defineProperty(globalThis, 'require', { value: nodeModule.createRequire(PROGRAM_URL), writable: true });
const setSource = installModuleHooks(nodeModule);

let settled: ProgramEnd | undefined;
let started = false;
let finished = false;

const lines = new LineDecoder();
channel.setEncoding('utf8');
channel.on('data', (text: string) => {
  for (const frame of lines.push(text)) {
    if (frame['t'] === 'answer') calls.answer(frame);
    else if (frame['t'] === 'run' && !started) {
      if (frame['env'] !== undefined) setEnvironment(frame['env'] as Record<string, string>);
      calls.session = frame['session'];
      void run(String(frame['code']), Number(frame['valueBytes']));
    }
  }
});
channel.on('close', () => process.exit(0));

// The first module that is loaded through the hooks costs several times what the next one does.
setSource('export default 0;');
await import(`${PROGRAM_URL}?warm`);
channel.write('{"t":"waiting"}\n');

/** This process may be older than the knowledge of whose program it runs. */
function setEnvironment(env: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
}

async function run(code: string, valueBytes: number): Promise<void> {
  started = true;
  channel.unref();
  // This process may be older than the mounts, and stand in the folder that the workspace now covers.
  process.chdir(process.cwd());
  process.on('uncaughtException', (error) => finish({ kind: 'error', error: flattenError(error) }));
  process.on('beforeExit', () => finish(settled ?? neverSettled()));
  setSource(code);
  try {
    const module: { default?: unknown } = await import(PROGRAM_URL);
    settled = toEnd(await module.default, valueBytes);
  } catch (error) {
    finish({ kind: 'error', error: flattenError(error) });
  }
}

function toEnd(value: unknown, valueBytes: number): ProgramEnd {
  try {
    const json = JSON.stringify(value) ?? 'null';
    const size = Buffer.byteLength(json);
    if (size <= valueBytes) return { kind: 'value', value: JSON.parse(json) };
    const message = `The returned value is ${size} bytes of JSON, over the limit of ${valueBytes}; write it to a file and return the path`;
    return { kind: 'error', error: { name: 'LimitError', message, stack: '' } };
  } catch (error) {
    const message = `The returned value cannot be written as JSON: ${error instanceof Error ? error.message.split('\n')[0] : error}`;
    return { kind: 'error', error: { name: 'TypeError', message, stack: '' } };
  }
}

function neverSettled(): ProgramEnd {
  const message =
    'The program waits for something that never happens: nothing is left to run, and an await is still open';
  return { kind: 'error', error: { name: 'Error', message, stack: '' } };
}

/** Reports, and is killed for it: leaving the usual way would cost more than the whole of a small program. */
function finish(end: ProgramEnd): void {
  if (finished) return;
  finished = true;
  channel.ref();
  channel.write(`${JSON.stringify({ t: 'end', end })}\n`);
}
