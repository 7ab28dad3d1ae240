import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentClient, type ExecOutcome } from './agent-client.ts';
import type { TestServer } from './sandbox-server.ts';

/** Root in a guest, with a shell and a Python; the sandbox is deleted with it. */
export interface HostileGuest extends AsyncDisposable {
  readonly id: string;
  readonly client: AgentClient;
  /** The text of both streams of a shell command, and its exit code. */
  shell(command: string): Promise<{ readonly code: number; readonly text: string }>;
  /** What a Python program prints as JSON; it must succeed. */
  python(program: string): Promise<unknown>;
  /** Starts a command and does not wait for its end. */
  start(cmd: string, ...args: readonly string[]): void;
  startPython(program: string): void;
}

export async function openHostileGuest(
  server: TestServer,
  name: string,
  spec: Readonly<Record<string, unknown>> = {},
): Promise<HostileGuest> {
  const { id } = await server.start(name, spec);
  const client = await AgentClient.open(server, id);
  const run = (program: string) => ({ cmd: 'python3', args: ['-c', `${PRELUDE}\n${program}`], cwd: '/' });
  return {
    id,
    client,
    shell: async (command) => {
      const { stdout, end } = await client.exec({ cmd: 'sh', args: ['-c', `exec 2>&1\n${command}`], cwd: '/' });
      return { code: codeOf(end), text: stdout };
    },
    python: async (program) => {
      const { stdout, stderr, end } = await client.exec(run(program));
      if (codeOf(end) !== 0) throw new Error(`The program in the guest failed: ${stderr}`);
      return JSON.parse(stdout);
    },
    start: (cmd, ...args) => client.send(client.newId(), 'core.exec.request', { cmd, args, cwd: '/' }),
    startPython: (program) => client.send(client.newId(), 'core.exec.request', run(program)),
    [Symbol.asyncDispose]: async () => {
      client.socket.terminate();
      await server.call('DELETE', `/v1/sandboxes/${id}`);
    },
  };
}

/** Folders in which a process, by default this one, keeps the sockets and the memory of its guests. */
export async function runFolders(pid = process.pid): Promise<readonly string[]> {
  const prefix = `workcell-${process.getuid?.()}-${pid}.`;
  return (await readdir('/dev/shm')).filter((name) => name.startsWith(prefix)).map((name) => join('/dev/shm', name));
}

/** Those of single guests. */
export async function guestFolders(pid = process.pid): Promise<readonly string[]> {
  const below = async (folder: string) => (await readdir(folder)).map((name) => join(folder, name));
  return (await Promise.all((await runFolders(pid)).map(below))).flat();
}

function codeOf(end: ExecOutcome['end']): number {
  return (end as { readonly code?: number }).code ?? -1;
}

/**
 * `attempt` tells with which errno something is refused, or `done`. `of_processes` leaves out what ends while it is looked
 * at. `port_of_agent` is a descriptor of the agent's own port, taken out of its process, because a port can be opened only
 * once.
 */
const PRELUDE = `
import ctypes, errno, json, os, stat, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def attempt(work):
    try:
        work()
        return 'done'
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))

def system(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), 'system call')
    return result

def of_processes(look):
    for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
        try:
            yield pid, look(f'/proc/{pid}')
        except OSError:
            continue

def read(path):
    return open(path, errors='replace').read()

def agent():
    for pid, descriptors in of_processes(lambda process: os.listdir(process + '/fd')):
        for descriptor in descriptors:
            if os.path.realpath(f'/proc/{pid}/fd/{descriptor}').startswith('/dev/vport'):
                return pid, int(descriptor)
    sys.exit('There is no agent')

def port_of_agent():
    PIDFD_OPEN, PIDFD_GETFD = 434, 438
    pid, descriptor = agent()
    return system(PIDFD_GETFD, system(PIDFD_OPEN, pid, 0), descriptor, 0)
`;
