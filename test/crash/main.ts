/**
 * Kills the process that holds a cell, again and again: `npm run crash [-- KILLS [SEED]]`. Ends with 1 when something that was
 * acknowledged is lost, or a call has taken effect twice.
 */
import { runCrashes } from './run-crashes.ts';

const [kills = '200', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
console.log(`seed ${seed}`);
const report = await runCrashes({ kills: Number(kills), seed: Number(seed), onEvent: (text) => console.log(text) });
console.log(JSON.stringify(report, null, 2));
process.exitCode = report.problems.length === 0 ? 0 : 1;
