import { expect, it } from 'vitest';
import type { RpcCaller } from '../../../../src/sandbox/rpc/caller.ts';
import { RpcMethods } from '../../../../src/sandbox/rpc/methods.ts';

const caller = (namespace: string): RpcCaller => ({
  orgId: 'org',
  mayBind: false,
  namespace,
  sandboxes: {
    create: () => Promise.reject(new Error('created')),
    start: () => Promise.reject(new Error('started')),
    find: () => undefined,
    list: () => [],
    remove: () => Promise.reject(new Error('removed')),
  },
});

const call = (key: string, method: string, namespace?: string) => {
  const methods = new RpcMethods({ startTimeoutMs: 1 });
  const params = { sandbox: 'x', command: 'ls', language: 'python', code: '1', config: { image: 'host' }, namespace };
  return methods.call({ method, params, caller: caller(key), signal: new AbortController().signal });
};

it.each(['sandbox.start', 'sandbox.stop', 'sandbox.metrics.get', 'sandbox.repl.run', 'sandbox.command.run'])(
  'a key for one namespace cannot call %s in another, and needs not name its own',
  async (method) => {
    await expect(call('mine', method, 'other')).rejects.toMatchObject({
      code: 'forbidden',
      details: { namespace: 'other' },
    });
    for (const namespace of ['mine', undefined])
      expect(await call('mine', method, namespace).catch(({ code }) => code)).not.toBe('forbidden');
    expect(await call('*', method, 'other').catch(({ code }) => code)).not.toBe('forbidden');
  },
);

it('a key for one namespace does not see what is in all of them', async () => {
  await expect(call('mine', 'sandbox.metrics.get', '*')).rejects.toMatchObject({ code: 'forbidden' });
  expect(await call('*', 'sandbox.metrics.get', '*')).toEqual({ sandboxes: [] });
});
