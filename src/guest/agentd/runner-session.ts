import { StringDecoder } from 'node:string_decoder';
import type { Supervisor } from '../runner/supervisor.ts';
import type { ExecSession, Send } from './exec-session.ts';

/** The runner is part of this process: one node fewer to start before a program can run. */
export function attachRunner(supervisor: Pick<Supervisor, 'attach'>, send: Send, end: () => void): ExecSession {
  send('core.exec.started', { pid: process.pid });
  const connection = supervisor.attach((line) => send('core.exec.stdout', { data: Buffer.from(line) }));
  const decoder = new StringDecoder('utf8');
  const finish = () => {
    connection.close();
    end();
    send('core.exec.exited', { code: 0 });
  };
  return {
    stdin: (data) => {
      if (data.byteLength === 0) return finish();
      try {
        connection.receive(decoder.write(Buffer.from(data)));
      } catch {
        // Not the language of the runner: the client has ended its session.
        finish();
      }
    },
    signal: finish,
    resize: () => {},
  };
}
