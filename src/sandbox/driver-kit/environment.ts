/** Environment variables as a guest's specification has them, `KEY=value` each, by their names. */
export function environmentOf(env: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    env.map((entry) => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}
