import { constants } from 'node:os';
import type { RawFrame } from '../../protocol/agent-frames.ts';
import {
  type AgentErrorKind,
  type AgentMessage,
  decodeMessage,
  encodeMessage,
  flagsOf,
  PROTOCOL_GENERATION,
} from '../../protocol/agent-messages.ts';
import type { AgentLink, AgentOptions } from './agent-options.ts';
import { setClock } from './clock.ts';
import { ExecSessions } from './exec-sessions.ts';
import { FsSessions } from './fs-sessions.ts';
import { Intake } from './intake.ts';
import { InvalidPayload } from './payload.ts';
import { introducedIn, isRequestType, REQUESTS, type Request, type RequestType } from './requests.ts';
import { TcpSessions } from './tcp-sessions.ts';

/** Clients before this generation do not know `core.error`, and are told nothing. */
const FIRST_WITH_ERRORS = 5;

/** A frame that is refused; without a type when there is none to be seen in it. */
type Offence = Pick<AgentMessage, 'id' | 'version'> & Partial<Pick<AgentMessage, 'type'>>;
type Handlers = { readonly [Type in RequestType]: (id: number, request: Request<Type>) => void };

/** Answers the frames of the relay's clients. */
export class Agent {
  readonly #link: AgentLink;
  readonly #exec: ExecSessions;
  readonly #fs: FsSessions;
  readonly #tcp: TcpSessions;
  readonly #handlers: Handlers;
  #activity = 0;

  constructor(options: AgentOptions) {
    const link = shareDrain(options.link);
    const intake = new Intake(link);
    this.#link = link;
    this.#exec = new ExecSessions({ ...options, link }, intake);
    this.#fs = new FsSessions(link, intake);
    this.#tcp = new TcpSessions(link, intake);
    this.#handlers = {
      'core.ping': (id) => this.#link.send(encodeMessage(id, 'core.pong', {})),
      'core.touch': (id) => this.#link.send(encodeMessage(id, 'core.touched', { activity_seq: ++this.#activity })),
      'core.shutdown': () => this.#shutDown(),
      'core.clock.sync': (_id, { unix_time_nanos }) => setClock(unix_time_nanos),
      'core.exec.request': (id, request) => this.#exec.start(id, request),
      'core.exec.stdin': (id, { data }) => this.#exec.find(id)?.stdin(data),
      'core.exec.resize': (id, { rows, cols }) => this.#exec.find(id)?.resize(rows, cols),
      'core.exec.signal': (id, { signal }) => this.#exec.find(id)?.signal(signal),
      'core.fs.request': (id, { op }) => this.#fs.request(id, op),
      'core.fs.data': (id, { data }) => this.#fs.data(id, data),
      'core.tcp.connect': (id, request) => this.#tcp.connect(id, request),
      'core.tcp.data': (id, { data }) => this.#tcp.data(id, data),
      'core.tcp.eof': (id) => this.#tcp.end(id),
      'core.tcp.close': (id) => this.#tcp.close(id),
    };
  }

  receive(frame: RawFrame): void {
    const message = decodeMessage(frame);
    if (message === undefined) {
      this.#refuse(
        { id: frame.id, version: PROTOCOL_GENERATION },
        'malformed_message',
        'the message cannot be decoded',
      );
      return;
    }
    const { id, type, flags, version } = message;
    // The relay says it with the id that no client has; a client shall not end what is another's.
    if (type === 'core.relay.client.disconnected' && id === 0) this.#forget(message.payload);
    else if (!isRequestType(type)) {
      this.#refuse(message, 'unsupported_message_type', `unknown message type: ${type}`);
    } else if (version < introducedIn(type)) {
      const wanted = `${type} needs protocol generation ${introducedIn(type)} or newer, got ${version}`;
      this.#refuse(message, 'unsupported_protocol_generation', wanted);
    } else if (flags !== flagsOf(type)) {
      const wanted = `invalid flags for ${type}: got ${flags}, expected ${flagsOf(type)}`;
      this.#refuse(message, 'invalid_flags', wanted);
    } else this.#handle(message, type);
  }

  #handle<Type extends RequestType>(message: AgentMessage, type: Type): void {
    const { id } = message;
    try {
      // The check and the handler belong to the same type.
      const request = REQUESTS[type](message.payload, '') as Request<Type>;
      if (this.#beginsTwice(id, type)) {
        this.#refuse(message, 'invalid_session', `session ${id} is open already`);
      } else this.#handlers[type](id, request);
    } catch (error) {
      if (!(error instanceof InvalidPayload)) throw error;
      this.#refuse(message, 'invalid_payload', `decode payload for ${type}: ${error.message}`);
    }
  }

  #beginsTwice(id: number, type: RequestType): boolean {
    if (!['core.exec.request', 'core.fs.request', 'core.tcp.connect'].includes(type)) return false;
    return this.#exec.find(id) !== undefined || this.#fs.has(id) || this.#tcp.has(id);
  }

  #forget(payload: unknown): void {
    const { id_start, id_end_exclusive } = (payload ?? {}) as Record<string, unknown>;
    const [start, end] = [Number(id_start), Number(id_end_exclusive)];
    this.#exec.forget(start, end);
    this.#fs.forget(start, end);
    this.#tcp.forget(start, end);
  }

  #shutDown(): void {
    this.#exec.signalAll(constants.signals.SIGTERM);
    process.exit(0);
  }

  #refuse({ id, version, type }: Offence, kind: AgentErrorKind, message: string): void {
    if (version < FIRST_WITH_ERRORS) return;
    const detail = type === undefined ? {} : { offending_type: type };
    this.#link.send(encodeMessage(id, 'core.error', { kind, message, ...detail }));
  }
}

/** One listener at the link for all that wait for it. */
function shareDrain(link: AgentLink): AgentLink {
  let waiting: (() => void)[] = [];
  return {
    send: (frame) => link.send(frame),
    onDrain: (listener) => {
      waiting.push(listener);
      if (waiting.length > 1) return;
      link.onDrain(() => {
        const drained = waiting;
        waiting = [];
        for (const next of drained) next();
      });
    },
    pause: () => link.pause?.(),
    resume: () => link.resume?.(),
  };
}
