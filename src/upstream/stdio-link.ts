import { statSync } from 'node:fs';
import { messageOf } from '../core/errors.ts';
import { ChildTransport } from './child-transport.ts';
import type { Link, Trouble } from './link.ts';
import type { StdioServer } from './upstream-server.ts';

/** A link to a server that runs as a child process. */
export class StdioLink implements Link {
  readonly transport: ChildTransport;
  readonly noticesLoss = true;
  readonly #server: StdioServer;

  constructor(server: StdioServer, onStderr?: (text: string) => void) {
    this.#server = server;
    this.transport = new ChildTransport(server, onStderr);
  }

  isLoss(): boolean {
    return true;
  }

  explain(error: unknown): Trouble {
    const { exit } = this.transport;
    if (exit !== undefined)
      return this.#withStderr(exit.signal ? `was ended by ${exit.signal}` : `exited with code ${exit.code}`);
    const { code, syscall } = error as NodeJS.ErrnoException;
    if (syscall?.startsWith('spawn')) return this.#neverStarted(code ?? 'an unknown error');
    return this.#withStderr('did not answer', messageOf(error));
  }

  close(): Promise<void> {
    return this.transport.close();
  }

  /** Node reports a working directory that is missing as a command that is. */
  #neverStarted(code: string): Trouble {
    const { command, cwd } = this.#server;
    if (code !== 'ENOENT') {
      return {
        sent: false,
        reason: 'could not be started',
        detail: `starting ${JSON.stringify(command)} failed with ${code}`,
      };
    }
    if (!statSync(cwd, { throwIfNoEntry: false })?.isDirectory()) {
      return {
        sent: false,
        reason: 'has no working directory',
        detail: `there is no folder ${JSON.stringify(cwd)}; correct its "cwd"`,
      };
    }
    return {
      sent: false,
      reason: 'has a command that was not found',
      detail: `the command ${JSON.stringify(command)} was not found; install it, or correct its "command"`,
    };
  }

  #withStderr(reason: string, more?: string): Trouble {
    const lastLines = this.transport.stderr.trimEnd().split('\n').slice(-5).join('\n  ');
    const detail = `it ${reason}${more === undefined ? '' : `: ${more}`}`;
    return {
      sent: true,
      reason,
      detail: lastLines === '' ? detail : `${detail}; the end of its stderr:\n  ${lastLines}`,
    };
  }
}
