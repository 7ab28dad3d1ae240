// Boots guests, two of which survive it, says so, and waits; whoever started this process kills it.
import { bootGuest, folderMount, GuestClient, guestSpec, openDriver } from './driver-guest.ts';

const workspace = String(process.argv[2]);
const driver = await openDriver();
const mounts = [folderMount(workspace)];
const survivors = await Promise.all(
  [1, 2].map(() => bootGuest(driver, guestSpec(mounts, { survives: true, network: {} as never }))),
);
for (const guest of survivors) await guest.keep?.();
await bootGuest(driver, guestSpec(mounts));
const [first] = survivors;
if (first !== undefined) {
  const client = await GuestClient.connect(first);
  const id = client.start('sh', ['-c', 'echo kept > /tmp/kept; echo $$ > /tmp/pid; exec sleep 1000']);
  await client.until((message) => message.id === id && message.type === 'core.exec.started');
  await client.shell('until [ -s /tmp/pid ]; do sleep 0.1; done');
}
process.stdout.write(`${JSON.stringify(survivors.map(({ record }) => record))}\n`);
setInterval(() => {}, 60_000);
