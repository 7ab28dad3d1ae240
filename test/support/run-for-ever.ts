import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/** A program that does something over and over again, as a guest may; it has begun when this resolves. */
export async function runForEver(step: string, folder: string): Promise<void> {
  const program = `const fs = require('node:fs'); for (let i = 0; ; i++) { ${step}; if (i === 1) console.log('begun'); }`;
  const child = spawn(process.execPath, ['-e', program], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child.stdout, 'data');
}
