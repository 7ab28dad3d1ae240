/** The runner as a program of its own, for guests whose agent is not ours: frames on standard input and output. */

import { programProcessOptions } from './options.ts';
import { Supervisor } from './supervisor.ts';

const supervisor = new Supervisor(programProcessOptions());
supervisor.open(process.env);
const connection = supervisor.attach((line) => process.stdout.write(line));
process.stdin.setEncoding('utf8');
process.stdin.on('data', (text: string) => connection.receive(text));
process.stdin.on('end', () => {
  connection.close();
  process.exit(0);
});
