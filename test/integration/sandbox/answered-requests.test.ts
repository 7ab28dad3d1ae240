import { once } from 'node:events';
import { request } from 'node:http';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { AnsweredRequest } from '../../../src/sandbox/server.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer } from '../../support/quiet-server.ts';
import { API_KEY } from '../../support/sandbox-server.ts';

it('tells of each request the customer that it was for, and nothing that only the client says', async () => {
  const answered: AnsweredRequest[] = [];
  await using server = await openQuietServer({
    onAnswered: (facts) => answered.push(facts),
    routes: async (app) => {
      app.get('/customers/:customer', async () => ({}));
      app.get('/mcp', async () => ({}));
    },
  });
  const acme = (await server.store.create({ name: 'a', role: 'organisation', org: 'acme' })).secret.reveal();
  const ann = (await server.store.create({ name: 'a', role: 'customer', customer: 'acme.ann' })).secret.reveal();
  const requests = [
    { path: '/customers/bob', key: acme, customer: 'acme.bob' },
    { path: '/customers/acme.bob', key: acme, customer: 'acme.bob' },
    { path: '/customers/globex.eve', key: acme, customer: undefined },
    { path: '/customers/no%0Aname', key: acme, customer: undefined },
    { path: '/customers/bob', key: ann, customer: undefined },
    { path: '/customers/ann', key: null, customer: undefined },
    { path: '/mcp', key: ann, customer: 'acme.ann' },
    { path: '/mcp', key: acme, customer: undefined },
  ];
  for (const { path, key } of requests) await server.call('GET', path, { key });
  await eventually(() => answered.length === requests.length);
  expect(answered.map(({ customer }) => customer)).toEqual(requests.map(({ customer }) => customer));
});

it('tells of requests whose clients leave, before the answer and in the middle of it', async () => {
  const answered: AnsweredRequest[] = [];
  const arrived = Promise.withResolvers<void>();
  await using server = await openQuietServer({
    onAnswered: (facts) => answered.push(facts),
    routes: async (app) => {
      app.get('/silent', (_request, reply) => {
        void reply.hijack();
        arrived.resolve();
      });
      app.get('/endless', (_request, reply) => {
        void reply.hijack();
        reply.raw.writeHead(200).write('x');
      });
    },
  });
  const sandbox = await server.start('open');
  answered.length = 0;
  const headers = { authorization: `Bearer ${API_KEY}` };
  const silent = request({ port: server.port, path: '/silent', headers }).on('error', () => {});
  silent.end();
  await arrived.promise;
  silent.destroy();
  const endless = request({ port: server.port, path: '/endless', headers });
  endless.end();
  const [response] = await once(endless, 'response');
  response.on('error', () => {}).destroy();
  const agent = new WebSocket(`ws://127.0.0.1:${server.port}/v1/sandboxes/${sandbox}/agent`, { headers });
  await once(agent, 'open');
  agent.close();
  const told = () => answered.map(({ route, status }) => `${route} ${status}`).toSorted();
  const expected = ['/endless 200', '/silent 499', '/v1/sandboxes/:id/agent 101'];
  await eventually(() => told().length === expected.length);
  expect(told()).toEqual(expected);
});
