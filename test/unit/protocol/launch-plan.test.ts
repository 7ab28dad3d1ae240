import { spawn } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeLaunchReport, LAUNCH_MEMORY, LaunchPlan, SYSCALL } from '../../../src/protocol/launch-plan.ts';
import { launchProgram } from '../../../src/sandbox/guest-runtime/launch.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

let folder: TempFolder;
let program: string;

beforeAll(async () => {
  folder = await tempFolder();
  program = join(folder.path, 'launch');
  writeFileSync(program, launchProgram());
  chmodSync(program, 0o755);
});

afterAll(() => folder[Symbol.asyncDispose]());

async function perform(plan: LaunchPlan) {
  const child = spawn(program, [], { env: {}, stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  const channel = child.stdio[3] as Duplex;
  const ended = new Promise((resolve) => child.on('close', resolve));
  channel.end(plan.encode());
  const [output, report] = await Promise.all([buffer(child.stdout as Duplex), buffer(channel)]);
  return { code: await ended, output: String(output), report: decodeLaunchReport(report) };
}

function execute(plan: LaunchPlan, script: string, tag = 9): void {
  const argv = plan.texts(['sh', '-c', script, 'zero', 'öne']);
  plan.call(tag, SYSCALL.execve, [plan.text('/bin/sh'), argv, plan.texts(['A=b c'])]);
}

describe('a launch plan', () => {
  it('becomes a command with its arguments and its environment', async () => {
    const plan = new LaunchPlan();
    execute(plan, 'echo $0 $1 "$A"; exit 5');
    expect(await perform(plan)).toEqual({ code: 5, output: 'zero öne b c\n', report: undefined });
  });

  it('performs its calls in their order, before the command', async () => {
    const plan = new LaunchPlan();
    plan.call(1, SYSCALL.chdir, [plan.text('/usr')]);
    plan.call(2, SYSCALL.chdir, [plan.text('lib')]);
    execute(plan, 'pwd -P; test -e /proc/$$/fd/3 || echo nothing else is open');
    const { output } = await perform(plan);
    expect(output).toBe('/usr/lib\nnothing else is open\n');
  });

  it('ends at the first call that fails, and says which', async () => {
    const plan = new LaunchPlan();
    plan.call(7, SYSCALL.chdir, [plan.text('/none')]);
    execute(plan, 'echo not reached');
    expect(await perform(plan)).toEqual({ code: 127, output: '', report: { errno: 2, tag: 7 } });
  });

  it('goes on after a failure that is tolerated, and only after that one', async () => {
    const plan = new LaunchPlan();
    plan.call(1, SYSCALL.chdir, [plan.text('/none')], 2);
    plan.call(2, SYSCALL.chdir, [plan.text('/proc/version')], 2);
    execute(plan, 'echo not reached');
    expect(await perform(plan)).toMatchObject({ output: '', report: { errno: 20, tag: 2 } });
  });

  it('may be as large as there is room for, and no larger', async () => {
    const fill = (bytes: number) => {
      const plan = new LaunchPlan();
      plan.call(0, SYSCALL.exitGroup, [3]);
      plan.bytes(Buffer.alloc(bytes));
      return plan;
    };
    const room = LAUNCH_MEMORY.bytes - 64;
    expect(await perform(fill(room - 8))).toMatchObject({ code: 3, report: undefined });
    expect(() => fill(room).encode()).toThrow(RangeError);
  });

  it('holds no text with a NUL', () => {
    expect(() => new LaunchPlan().text('a\0b')).toThrow(RangeError);
  });

  it.each([1, 7, 9])('has no report of %i bytes', (length) => {
    expect(() => decodeLaunchReport(Buffer.alloc(length))).toThrow(RangeError);
  });
});
