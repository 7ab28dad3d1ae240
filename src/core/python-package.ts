/** Words that cannot name anything in Python. */
export const PYTHON_KEYWORDS: ReadonlySet<string> = new Set(
  `False None True and as assert async await break class continue def del elif else except finally for from global if
  import in is lambda nonlocal not or pass raise return try while with yield`.split(/\s+/),
);

/**
 * The name under which Python imports a server: `from servers.my_server import …` for the folder `servers/my-server/`.
 * Servers that share one cannot live beside one another; `server` must be a server name.
 */
export function pythonPackage(server: string): string {
  const name = server.replace(/\W/g, '_').replace(/^(?=\d)/, '_');
  return PYTHON_KEYWORDS.has(name) ? `${name}_` : name;
}
