import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { Command } from 'commander';
import { type ExitCode, messageOf, WorkcellError } from '../../core/errors.ts';
import type { ExecutionEvent, ExecutionStatus, Language, PendingApproval } from '../../core/execution.ts';
import { toolName } from '../../core/tool.ts';
import { printable } from '../../util/printable.ts';
import { onInterrupt } from '../interrupt.ts';
import { openCell } from '../open-cell.ts';
import { LANGUAGE_CHOICES, parseLanguage } from '../option-values.ts';
import { print, printJson, say } from '../output.ts';
import { renderResult } from '../render-result.ts';

interface RunOptions {
  readonly file?: string;
  readonly lang?: Language;
  readonly customer: string;
  readonly session?: string;
  readonly tools?: string;
  readonly timeout?: string;
  readonly check?: true;
  readonly json?: true;
}

const EXIT: { readonly [Status in ExecutionStatus]: ExitCode } = {
  completed: 0,
  failed: 1,
  killed: 1,
  limit_exceeded: 1,
  timed_out: 3,
};

export function runCommand(done: (code: ExitCode) => void): Command {
  return new Command('run')
    .description('run a program in a sandbox: a task in words, a file, or standard input (-)')
    .argument(
      '[task]',
      'what to do; chooses the tools, and alone becomes a call of the best one. "-" reads a program from standard input',
    )
    .option('-f, --file <program>', 'the program, in TypeScript or Python')
    .option(
      '--lang <language>',
      `what the program is written in: ${LANGUAGE_CHOICES}; default: what the ending of --file says, or typescript`,
      parseLanguage,
    )
    .option('--customer <id>', 'whose workspace', 'default')
    .option('--session <id>', 'record it in this session (default: a new one)')
    .option('--tools <names>', 'exactly these tools, such as memory.create_entities,calculator.add')
    .option('--timeout <duration>', 'how long the program may run, such as 30s')
    .option('--check', "check the program against the tools' types first; nothing runs when it calls one wrongly")
    .option('--json', 'print the result as one JSON object')
    .addHelpText(
      'after',
      '\nExamples:\n  workcell run "Calculate 5 + 3"\n  workcell run --file report.ts --customer acme\n  echo "return process.version" | workcell run -\n  workcell run --lang py - < report.py',
    )
    .action(async (task: string | undefined, options: RunOptions, command: Command) => {
      const language = languageOf(options);
      const request = { ...(await readRequest(task, options)), ...wishes(options), language };
      const signal = onInterrupt();
      await using cell = await openCell(command, [
        { key: 'limits.timeout', flag: '--timeout', value: options.timeout },
      ]);
      const result = await cell.customer(options.customer).execute({
        ...request,
        signal,
        typeCheck: options.check,
        onEvent: options.json === true ? undefined : stream,
      });
      if (options.json === true) printJson(result);
      else {
        if (result.value !== null)
          print(typeof result.value === 'string' ? result.value : JSON.stringify(result.value, null, 2));
        say(renderResult(result));
      }
      done(EXIT[result.status]);
    });
}

function stream(event: ExecutionEvent): void {
  if (event.type === 'stdout') process.stdout.write(event.text);
  else if (event.type === 'stderr') process.stderr.write(event.text);
  else if (event.type === 'approval.required') say(askText(event.approval));
}

function askText(approval: PendingApproval): string {
  const { approvalId, arguments: args } = approval;
  return `${toolName(approval)} waits to be approved, with ${printable(JSON.stringify(args))}\n  workcell approvals approve ${approvalId}, or reject it, with the same --customer and --config`;
}

function languageOf({ lang, file = '' }: RunOptions): Language {
  return lang ?? (file.endsWith('.py') ? 'python' : 'typescript');
}

async function readRequest(task: string | undefined, { file }: RunOptions): Promise<{ task?: string; code?: string }> {
  if (task === '-' && file !== undefined) {
    throw new WorkcellError('invalid_argument', 'Both "-" and --file give a program; leave one out');
  }
  if (task === '-') return { code: await text(process.stdin) };
  const wish = task === undefined ? {} : { task };
  if (file === undefined) return wish;
  try {
    return { ...wish, code: await readFile(file, 'utf8') };
  } catch (cause) {
    throw new WorkcellError('invalid_argument', `Cannot read the program: ${messageOf(cause)}`, { cause });
  }
}

function wishes({ session, tools }: RunOptions): { session?: string; tools?: string[] } {
  return {
    ...(session === undefined ? {} : { session }),
    ...(tools === undefined
      ? {}
      : {
          tools: tools
            .split(',')
            .map((name) => name.trim())
            .filter(Boolean),
        }),
  };
}
