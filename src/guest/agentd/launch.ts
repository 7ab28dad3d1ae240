import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { RUNTIME_DIRECTORY } from '../../protocol/guest-bootstrap.ts';
import { decodeLaunchReport, type LaunchPlan } from '../../protocol/launch-plan.ts';
import { errnoError } from './errno.ts';

/** The guest's program that performs a plan. */
const LAUNCH = `${RUNTIME_DIRECTORY}/bin/launch`;

export interface Launch {
  readonly child: ChildProcess;
  /** Resolves when the plan was performed, with the call that failed if one did; rejects when it could not be begun. */
  readonly done: Promise<LaunchFailure | undefined>;
}

export interface LaunchFailure {
  readonly tag: number;
  readonly error: NodeJS.ErrnoException;
}

/** A process that does nothing until it has a plan, and can wait for it in a template. */
export interface WaitingLaunch {
  readonly child: ChildProcess;
  /** Performs the plan, once. */
  perform(encoded: Uint8Array): Launch['done'];
}

/** Performs a plan in a process of its own, a session leader; `inherited` becomes its descriptors from 4 on. */
export function launch(plan: LaunchPlan, stdio: 'ignore' | 'pipe', inherited: readonly number[] = []): Launch {
  const encoded = plan.encode();
  const { child, perform } = startLaunch(stdio, inherited);
  return { child, done: perform(encoded) };
}

/** Starts a process as {@link launch} does, without its plan. */
export function startLaunch(stdio: 'ignore' | 'pipe', inherited: readonly number[] = []): WaitingLaunch {
  const channels: StdioOptions = [stdio, stdio, stdio, 'pipe', ...inherited];
  const child = spawn(LAUNCH, [], { cwd: '/', env: {}, detached: true, stdio: channels });
  const channel = child.stdio[3] as Duplex;
  const done = new Promise<LaunchFailure | undefined>((resolve, reject) => {
    const report: Buffer[] = [];
    channel.on('data', (chunk: Buffer) => report.push(chunk));
    channel.on('error', () => {});
    channel.on('close', () => {
      const failure = decodeLaunchReport(Buffer.concat(report));
      resolve(failure && { tag: failure.tag, error: errnoError(failure.errno) });
    });
    child.on('error', reject);
  });
  done.catch(() => {});
  const perform = (encoded: Uint8Array) => {
    channel.end(encoded);
    return done;
  };
  return { child, perform };
}
