import type { AgentClient } from '../../protocol/agent-client.ts';
import { Deadline } from '../../util/deadline.ts';
import { attachAgentClient } from '../attach-agent-client.ts';
import type { Sandbox } from '../sandbox.ts';
import type { Language } from './language.ts';
import { Repl } from './repl.ts';

const CONNECT_TIMEOUT_MS = 30_000;

/** What this interface keeps open in a running sandbox. It ends with the sandbox. */
export interface GuestSession {
  readonly agent: AgentClient;
  readonly repls: Readonly<Record<Language, Repl>>;
}

/** The sessions of all sandboxes, each opened when it is first needed. */
export class GuestSessions {
  readonly #sessions = new WeakMap<Sandbox, GuestSession>();

  /** Throws `invalid_state` when the sandbox does not run, `busy` when it has too many clients, `sandbox_lost`. */
  async get(sandbox: Sandbox): Promise<GuestSession> {
    const known = this.#sessions.get(sandbox);
    const session = known === undefined || known.agent.lost !== undefined ? attach(sandbox) : known;
    this.#sessions.set(sandbox, session);
    using deadline = new Deadline('Connecting to the agent of the sandbox', CONNECT_TIMEOUT_MS);
    await deadline.race(session.agent.ready);
    return session;
  }
}

function attach(sandbox: Sandbox): GuestSession {
  const agent = attachAgentClient((client) => sandbox.attach(client));
  return { agent, repls: { python: new Repl(agent, 'python'), node: new Repl(agent, 'node') } };
}
