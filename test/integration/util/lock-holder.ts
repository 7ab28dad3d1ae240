// Takes the lock named by the first argument, prints its pid, and holds on until it is killed.
import { FileLock } from '../../../src/util/file-lock.ts';

const path = process.argv[2] ?? '';
await FileLock.acquire({ path, what: 'The test lock' });
process.stdout.write(`${process.pid}\n`);
setInterval(() => {}, 1_000);
