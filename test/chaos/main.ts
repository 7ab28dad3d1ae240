/**
 * Ten minutes of misfortune: `npm run chaos [-- SECONDS [SEED]]`. Ends with 1 when an acknowledged write is lost, a call does
 * not return within its deadline, or something is left over. Run it as root: it mounts a small disk.
 */
import { runChaos } from './run-chaos.ts';

const [seconds = '600', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
console.log(`seed ${seed}`);
const report = await runChaos({
  seconds: Number(seconds),
  seed: Number(seed),
  onEvent: (text) => console.log(`${new Date().toISOString().slice(11, 19)} ${text}`),
});
console.log(JSON.stringify(report, null, 2));
process.exitCode = report.problems.length === 0 ? 0 : 1;
