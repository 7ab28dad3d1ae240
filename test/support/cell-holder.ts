// Opens a Workcell, starts a program that never ends, and says so; whoever started this process kills it.
import { createWorkcell } from '../../src/workcell/workcell.ts';

const workcell = await createWorkcell({ config: String(process.argv[2]) });
await workcell.customer('ann').execute({
  code: "console.log('started'); setInterval(() => {}, 1000);",
  session: 'held',
  timeoutMs: 600_000,
  onEvent: (event) => {
    if (event.type === 'stdout') process.stdout.write(event.text);
  },
});
