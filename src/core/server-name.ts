const SHAPE = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** Why `name` cannot name an MCP server, and so a folder under `servers/`; undefined when it can. */
export function serverNameProblem(name: string): string | undefined {
  if (name === 'runtime') return 'is reserved; choose another name for the server';
  if (SHAPE.test(name)) return undefined;
  return 'is not a server name: use 1 to 63 lower-case letters, digits, "_" or "-", the first a letter or digit';
}
