const ONE_USER = 'a guest of namespaces without privileges has one user, root';

/** Why an operation does not work, by `client: name`; `driver/client: name` for one driver. What is not here must pass. */
export const KNOWN_GAPS: Readonly<Record<string, string>> = {
  'msb: run -v NAME:/data; the files outlive the sandbox and are shared':
    'the stock command itself refuses named volumes on its cloud backend; the SDK mounts them',
  'bubblewrap/msb: exec -u': ONE_USER,
  'bubblewrap/msb: run --workdir --user --rlimit --tmpfs': ONE_USER,
  'bubblewrap/sdk: execWith(args, cwd, env, user, rlimit, stdinBytes)': ONE_USER,
  'microsandbox/msb: create --no-net':
    'the stock runtime can only deny all traffic: its guests keep a network interface, which leads nowhere',
  'msb: ping': 'the stock command itself refuses it on its cloud backend',
  'msb: touch': 'the stock command itself refuses it on its cloud backend',
};

export function gapOf(
  driver: string,
  operation: { readonly client: string; readonly name: string },
): string | undefined {
  const key = `${operation.client}: ${operation.name}`;
  return KNOWN_GAPS[`${driver}/${key}`] ?? KNOWN_GAPS[key];
}
