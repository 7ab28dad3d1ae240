/**
 * Serves evaluations in one Node process: a request on descriptor 3 is two blocks, `[length u32 BE][bytes]` each, the code
 * and a marker, which is written to both outputs behind everything that the code has written.
 *
 * Code runs as a script in the global scope, so that `let` and `const` stay; the value of the last expression is shown.
 * Code that only compiles with a top-level await is given to the engine of Node's own REPL, which knows how to keep its
 * declarations.
 */
export const NODE_DRIVER = `
'use strict';
(() => {
  const { Socket } = require('node:net');
  const { Readable, Writable } = require('node:stream');
  const { inspect } = require('node:util');
  const vm = require('node:vm');
  const outputs = [process.stdout, process.stderr];
  const send = (stream, data) =>
    new Promise((resolve, reject) => Writable.prototype.write.call(stream, data, (error) => (error ? reject(error) : resolve())));
  const show = (text) => send(outputs[0], text + '\\n');
  const complain = (error) => send(outputs[1], 'Uncaught ' + describe(error) + '\\n');
  const describe = (error) => (error instanceof SyntaxError ? String(error) : error instanceof Error && error.stack ? trim(error.stack) : inspect(error));
  const trim = (stack) => stack.split('\\n').filter((line) => !/\\[eval\\]|node:(vm|domain|repl|internal)/.test(line)).join('\\n');
  Object.defineProperty(process, 'stdin', { value: Readable.from([]), configurable: true });
  process.on('uncaughtException', (error) => void complain(error));
  process.on('unhandledRejection', (error) => void complain(error));

  const importModuleDynamically = vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  const compile = (code) => new vm.Script(code, { filename: 'repl', importModuleDynamically });
  const compileAny = (code) => {
    if (/^\\s*\\{/.test(code) && !/;\\s*$/.test(code)) {
      try { return compile('(' + code.trim() + ')'); } catch {}
    }
    return compile(code);
  };

  let repl;
  let fail = complain;
  const openRepl = () => {
    const opened = require('node:repl').start({
      prompt: '', terminal: false, useGlobal: true,
      input: new Readable({ read() {} }),
      output: new Writable({ write: (chunk, encoding, done) => { send(outputs[1], chunk).then(() => done(), done); } }),
    });
    // Where it has a domain, errors go there and not to the callback.
    if (opened._domain) opened._domain.removeAllListeners('error').on('error', (error) => void fail(error));
    return opened;
  };
  const evaluateAwaiting = (code) => new Promise((resolve, reject) => {
    repl ??= openRepl();
    fail = reject;
    repl.eval(code, repl.context, 'repl', (error, value) => (error ? reject(error instanceof SyntaxError && error.err ? error.err : error) : resolve(value)));
  }).finally(() => { fail = complain; });

  const evaluate = async (code) => {
    let script;
    try {
      script = compileAny(code);
    } catch (error) {
      if (!/\\bawait\\b/.test(code)) throw error;
      return { value: await evaluateAwaiting(code + '\\n') };
    }
    return { value: script.runInThisContext({ displayErrors: false }) };
  };

  const run = async (code) => {
    try {
      const { value } = await evaluate(code);
      if (value !== undefined) await show(inspect(value));
    } catch (error) {
      await complain(error);
    }
  };

  let buffered = Buffer.alloc(0);
  let wake = () => {};
  const read = async (size) => {
    while (buffered.length < size) await new Promise((resolve) => { wake = resolve; });
    const data = buffered.subarray(0, size);
    buffered = buffered.subarray(size);
    return data;
  };
  const block = async () => read((await read(4)).readUInt32BE(0));
  const requests = new Socket({ fd: 3, writable: false });
  requests.on('data', (chunk) => { buffered = Buffer.concat([buffered, chunk]); wake(); });
  requests.on('close', () => process.exit(0));
  requests.on('error', () => process.exit(0));

  (async () => {
    for (;;) {
      await run((await block()).toString());
      const marker = await block();
      for (const output of outputs) await send(output, marker);
    }
  })().catch(() => process.exit(1));
})();
`;
