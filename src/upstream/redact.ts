import type { UpstreamServer } from './upstream-server.ts';

/** Shorter values are flags and numbers; to blot them out would only garble a text. */
const SHORTEST = 6;

/** A function that blots out a server's configured credentials in any text that the server had a hand in. */
export function redactor(server: UpstreamServer): (text: string) => string {
  const values = Object.values(server.kind === 'stdio' ? server.env : server.headers).map((value) => value.reveal());
  // `Bearer x`: a server may repeat the credential without its scheme.
  const parts = new Set(
    values.flatMap((value) => [value, ...value.split(/\s+/)]).filter((part) => part.length >= SHORTEST),
  );
  const longestFirst = [...parts].sort((a, b) => b.length - a.length);
  return (text) => longestFirst.reduce((redacted, part) => redacted.replaceAll(part, '[redacted]'), text);
}

/** Hides where on the host a server works: what a program reads names files as the server's own folder has them. */
export function withoutHostPath(server: UpstreamServer, text: string): string {
  return server.kind === 'stdio' ? text.replaceAll(server.cwd, '.') : text;
}
