import { expect, it } from 'vitest';
import type { AnsweredRequest } from '../../../src/sandbox/server.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer } from '../../support/quiet-server.ts';

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
