import { SSEClientTransport, SseError } from '@modelcontextprotocol/sdk/client/sse.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { explainHttp, httpAgent, httpOptions } from './http-link.ts';
import type { Link, Trouble } from './link.ts';
import type { HttpServer } from './upstream-server.ts';

/** A link to an endpoint of the old HTTP+SSE transport: answers come over one event stream, and the session ends with it. */
export class SseLink implements Link {
  readonly transport: Transport;
  readonly noticesLoss = true;
  readonly #url: URL;
  readonly #agent = httpAgent();
  #closing: Promise<void> | undefined;

  constructor(server: HttpServer) {
    this.#url = new URL(server.url);
    this.transport = new SseTransport(new SSEClientTransport(this.#url, httpOptions(server, this.#agent)));
  }

  isLoss(): boolean {
    return true;
  }

  explain(error: unknown): Trouble {
    return explainHttp(this.#url, error, error instanceof SseError ? error.code : undefined);
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  async #shutDown(): Promise<void> {
    await this.transport.close().catch(() => {});
    await this.#agent.destroy();
  }
}

/**
 * The transport of the SDK, but it closes when its stream breaks: the stream would be opened anew by itself, with another
 * session that nobody has initialized.
 */
class SseTransport implements Transport {
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  onmessage?: ((message: JSONRPCMessage) => void) | undefined;
  readonly #inner: SSEClientTransport;

  constructor(inner: SSEClientTransport) {
    this.#inner = inner;
    inner.onclose = () => this.onclose?.();
    inner.onmessage = (message) => this.onmessage?.(message);
    inner.onerror = (error) => {
      this.onerror?.(error);
      if (error instanceof SseError) void inner.close();
    };
  }

  start(): Promise<void> {
    return this.#inner.start();
  }

  send(message: JSONRPCMessage): Promise<void> {
    return this.#inner.send(message);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  setProtocolVersion(version: string): void {
    this.#inner.setProtocolVersion(version);
  }
}
