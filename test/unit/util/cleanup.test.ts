import { describe, expect, test } from 'vitest';
import { Cleanup } from '../../../src/util/cleanup.ts';

describe('Cleanup', () => {
  test('runs the steps last first, each after the one before has ended', async () => {
    const cleanup = new Cleanup();
    const seen: string[] = [];
    for (const name of ['first', 'second']) {
      cleanup.add(async () => {
        seen.push(`${name} begins`);
        await Promise.resolve();
        seen.push(`${name} ends`);
      });
    }
    await cleanup.run();
    expect(seen).toEqual(['second begins', 'second ends', 'first begins', 'first ends']);
  });

  test('runs each step once, however often and by whomever it is asked', async () => {
    const cleanup = new Cleanup();
    let runs = 0;
    cleanup.add(() => {
      runs++;
    });
    await Promise.all([cleanup.run(), cleanup.run(), cleanup[Symbol.asyncDispose]()]);
    await cleanup.run();
    expect(runs).toBe(1);
  });

  test('runs the remaining steps when some fail, and reports every failure', async () => {
    const cleanup = new Cleanup();
    const seen: string[] = [];
    cleanup.add(() => {
      seen.push('oldest');
    });
    cleanup.add(() => {
      throw new Error('thrown');
    });
    cleanup.add(() => Promise.reject(new Error('rejected')));
    const failure: unknown = await cleanup.run().catch((error: unknown) => error);
    expect(seen).toEqual(['oldest']);
    expect(failure).toBeInstanceOf(AggregateError);
    expect((failure as AggregateError).errors.map(String)).toEqual(['Error: rejected', 'Error: thrown']);
  });

  test('runs a step that is added while others run', async () => {
    const cleanup = new Cleanup();
    const seen: string[] = [];
    cleanup.add(async () => {
      await Promise.resolve();
      cleanup.add(() => {
        seen.push('late');
      });
      seen.push('running');
    });
    await cleanup.run();
    await cleanup.run();
    expect(seen).toEqual(['running', 'late']);
  });

  test('runs a step that is added after the run', async () => {
    const cleanup = new Cleanup();
    await cleanup.run();
    let ran = false;
    cleanup.add(() => {
      ran = true;
    });
    await cleanup.run();
    expect(ran).toBe(true);
  });

  test('runs a step that is added after a run that failed', async () => {
    const cleanup = new Cleanup();
    cleanup.add(() => {
      throw new Error('early');
    });
    await expect(cleanup.run()).rejects.toThrow('1 cleanup step(s) failed');
    let ran = false;
    cleanup.add(() => {
      ran = true;
    });
    await cleanup.run().catch(() => {});
    expect(ran).toBe(true);
  });

  test('tells whoever asks again that a late step failed', async () => {
    const cleanup = new Cleanup();
    await cleanup.run();
    cleanup.add(() => {
      throw new Error('late');
    });
    await expect(cleanup.run()).rejects.toThrow();
  });
});
