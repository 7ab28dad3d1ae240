import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { explainFailure } from '../../../src/cli/explain-failure.ts';
import { WorkcellError } from '../../../src/core/errors.ts';

const listen = (host: string, port: number): Promise<{ readonly error?: unknown; readonly port: number }> =>
  new Promise((done) => {
    const server = createServer();
    server.once('error', (error) => done({ error, port }));
    server.listen({ host, port }, () => {
      const { port } = server.address() as { port: number };
      server.unref();
      done({ port });
    });
  });

test('a port that is taken is named, and the options that choose another', async () => {
  const { port } = await listen('127.0.0.1', 0);
  const { error } = await listen('127.0.0.1', port);
  expect(explainFailure(error)).toMatchObject({
    code: 'busy',
    message: `Cannot listen on 127.0.0.1:${port}: something listens there already; stop it, or choose another port (--port, server.port)`,
  });
});

test('an address of another host is wrong configuration', async () => {
  const { error } = await listen('192.0.2.1', 0);
  expect(explainFailure(error)).toMatchObject({
    code: 'invalid_config',
    message: 'Cannot listen on 192.0.2.1: this host does not have the address (--host, server.host)',
  });
});

test('a full disk and a folder that is closed to this user are told with what was tried', async () => {
  const full = await writeFile('/dev/full', 'x').catch((error: unknown) => error);
  expect(explainFailure(full)).toMatchObject({
    code: 'storage_full',
    message: 'Cannot write: the disk is full, or a quota on it is used up; free space',
  });
  const closed = Object.assign(new Error('no'), { code: 'EACCES', syscall: 'mkdir', path: '/srv/data' });
  expect(explainFailure(closed)).toMatchObject({
    code: 'storage_failed',
    message:
      'Cannot mkdir /srv/data: this user may not; run as another, or choose another place (workcell config show --origin)',
  });
});

test('errors of our own, and what nobody expected, stay as they are', () => {
  const own = new WorkcellError('busy', 'The state folder is in use');
  expect(explainFailure(own)).toBe(own);
  expect(explainFailure(new TypeError('x is not a function'))).toMatchObject({
    code: 'internal',
    message: 'x is not a function',
  });
});
