import { WorkcellError } from '../../core/errors.ts';
import type { ExecRequest } from '../../protocol/agent-messages.ts';
import { NODE_DRIVER } from './node-driver.ts';
import { PYTHON_DRIVER } from './python-driver.ts';

export type Language = 'python' | 'node';

const NAMES: ReadonlyMap<string, Language> = new Map([
  ['python', 'python'],
  ['node', 'node'],
  ['nodejs', 'node'],
  ['javascript', 'node'],
]);

/** Throws `unsupported`. */
export function parseLanguage(text: string): Language {
  const language = NAMES.get(text.toLowerCase());
  if (language !== undefined) return language;
  throw new WorkcellError('unsupported', `Unsupported language: "${text.slice(0, 40)}"; use python or node`);
}

/** The driver is an argument, so that it needs nothing of the image but the interpreter itself. */
export function interpreterCommand(language: Language): ExecRequest {
  if (language === 'node')
    // Node cannot duplicate a descriptor: the shell moves the requests out of the way of what reads standard input.
    return { cmd: '/bin/sh', args: ['-c', 'exec node --no-warnings -e "$0" 3<&0 </dev/null', NODE_DRIVER] };
  return { cmd: 'python3', args: ['-u', '-c', PYTHON_DRIVER], env: ['PYTHONIOENCODING=utf-8:backslashreplace'] };
}
