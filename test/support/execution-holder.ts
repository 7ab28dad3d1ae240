// Opens a Workcell, starts the execution that the arguments ask for, and prints its events as they come; whoever started this process kills it.
import { createWorkcell } from '../../src/workcell/workcell.ts';

const [config = '', request = '{}'] = process.argv.slice(2);
const ann = (await createWorkcell({ config })).customer('ann');
const { id } = await ann.start(JSON.parse(request));
for await (const event of ann.watch(id, { follow: true })) process.stdout.write(`${JSON.stringify(event)}\n`);
