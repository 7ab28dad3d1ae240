// npm run fuzz [-- INPUTS|SECONDSs [SEED [FIRST]]]: `-- 60s`, or one input that was found before: `-- 1 SEED INPUT`.
import { inspect } from 'node:util';
import { runFuzz } from './run-fuzz.ts';

const [amount = '60s', seed = String(Date.now() % 2 ** 31), first = '0'] = process.argv.slice(2);
const seconds = /^(\d+)s$/.exec(amount)?.[1];
const options = { seed: Number(seed), first: Number(first), inputs: seconds === undefined ? Number(amount) : Infinity };
if (![options.seed, options.first].every(Number.isSafeInteger) || Number.isNaN(options.inputs)) {
  console.error('usage: npm run fuzz [-- INPUTS|SECONDSs [SEED [FIRST]]]');
  process.exit(2);
}
console.log(`seed ${options.seed}`);
try {
  const start = performance.now();
  const report = await runFuzz({ ...options, ...(seconds === undefined ? {} : { seconds: Number(seconds) }) });
  console.table(report.counts);
  console.log(`${report.inputs} inputs in ${((performance.now() - start) / 1000).toFixed(1)} s, nothing found`);
} catch (error) {
  console.error(inspect(error, { depth: 5 }));
  process.exit(1);
}
