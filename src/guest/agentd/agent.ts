import type { RawFrame } from '../../protocol/agent-frames.ts';
import { type AgentErrorKind, type AgentMessage, decodeMessage, encodeMessage } from '../../protocol/agent-messages.ts';
import type { AgentLink, AgentOptions } from './agent-options.ts';
import { ExecSessions } from './exec-sessions.ts';
import { FsSessions } from './fs-sessions.ts';

/** Answers the frames of the relay's clients. */
export class Agent {
  readonly #link: AgentLink;
  readonly #exec: ExecSessions;
  readonly #fs: FsSessions;
  #activity = 0;

  constructor(options: AgentOptions) {
    this.#link = options.link;
    this.#exec = new ExecSessions(options);
    this.#fs = new FsSessions(options.link);
  }

  receive(frame: RawFrame): void {
    const message = decodeMessage(frame);
    if (message === undefined) this.#refuse(frame.id, 'malformed_message', 'The message cannot be decoded');
    else this.#dispatch(message);
  }

  #dispatch(message: AgentMessage): void {
    const { id, type } = message;
    const payload = (typeof message.payload === 'object' && message.payload !== null ? message.payload : {}) as Record<
      string,
      unknown
    >;
    if (type === 'core.ping') this.#link.send(encodeMessage(id, 'core.pong', {}));
    else if (type === 'core.touch')
      this.#link.send(encodeMessage(id, 'core.touched', { activity_seq: ++this.#activity }));
    else if (type === 'core.shutdown') process.exit(0);
    // The relay says it with the id that no client has; a client shall not end what is another's.
    else if (type === 'core.relay.client.disconnected' && id === 0)
      this.#forget(Number(payload['id_start']), Number(payload['id_end_exclusive']));
    else if (type.startsWith('core.exec.')) this.#exec.receive(id, type, payload);
    else if (type.startsWith('core.fs.')) this.#fs.receive(id, type, payload);
    else this.#refuse(id, 'unsupported_message_type', `This agent does not know "${type}"`, type);
  }

  #forget(start: number, end: number): void {
    this.#exec.forget(start, end);
    this.#fs.forget(start, end);
  }

  #refuse(id: number, kind: AgentErrorKind, message: string, offending?: string): void {
    const detail = offending === undefined ? {} : { offending_type: offending };
    this.#link.send(encodeMessage(id, 'core.error', { kind, message, ...detail }));
  }
}
