import { Random } from '../unit/random.ts';
import { openSessionTargets } from './session-targets.ts';

const [only, n = '200', first = '0'] = process.argv.slice(2);
await using stack = new AsyncDisposableStack();
for (const t of await openSessionTargets(stack)) {
  if (only && only !== 'all' && t.name !== only) continue;
  const start = performance.now();
  const seen = new Map<string, number>();
  for (let i = Number(first); i < Number(first) + Number(n); i++) {
    try {
      await t.run(new Random(Math.imul(i + 1, 0x9e3779b1) ^ 7));
    } catch (e) {
      const key = String(e).slice(0, 200).replace(/\d+/g, 'N');
      if (!seen.has(key)) console.log(t.name, i, e);
      seen.set(key, (seen.get(key) ?? 0) + 1);
      if (process.env.STOP) process.exit(1);
    }
  }
  console.log(t.name, ((performance.now() - start) / Number(n)).toFixed(3), 'ms each', seen);
}
