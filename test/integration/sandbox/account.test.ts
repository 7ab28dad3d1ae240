// What an organisation is told of itself; guests are scripted, because only their times count.
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { EventResponse, Page, UsageBreakdown, UsageSummary } from '../../../src/protocol/rest.ts';
import { eventually } from '../../support/processes.ts';
import { openQuietServer, type QuietServer } from '../../support/quiet-server.ts';
import { ScriptedDriver } from '../../support/scripted-driver.ts';

let server: QuietServer;
let driver: ScriptedDriver;

beforeEach(async () => {
  driver = new ScriptedDriver();
  server = await openQuietServer({ driver });
});
afterEach(() => server[Symbol.asyncDispose]());

const events = async (query = '', key?: string) =>
  (await server.call('GET', `/v1/events${query}`, key === undefined ? {} : { key })).body as Page<EventResponse>;

it('events tell who did what to which sandbox, newest first', async () => {
  const { secret, key } = await server.store.create({ name: 'ci', role: 'organisation', org: 'acme' });
  const mine = { key: secret.reveal() };
  const body = { name: 'told', image: { type: 'oci', reference: 'host' } };
  const created = await server.call('POST', '/v1/sandboxes?start=true&wait_for=running', { body, ...mine });
  const { id } = created.body as { id: string };
  driver.world.get(id)?.die('gone');
  await eventually(async () => (await events('?event_type=sandbox_failed', mine.key)).data.length === 1);
  await server.call('DELETE', `/v1/sandboxes/${id}`, mine);
  const { data } = await events('', mine.key);
  expect(data.map(({ event_type, actor, payload }) => [event_type, actor.kind, payload['sandbox_id']])).toEqual([
    ['sandbox_deleted', 'api_key', id],
    ['sandbox_failed', 'system', id],
    ['sandbox_started', 'api_key', id],
    ['sandbox_created', 'api_key', id],
  ]);
  expect(data[3]?.actor).toEqual({ kind: 'api_key', api_key_id: key.id, name: 'acme' });
  const one = `/v1/events/${data[0]?.id}`;
  expect((await server.call('GET', one, mine)).body).toEqual(data[0]);
  expect(await server.call('GET', one)).toMatchObject({ status: 404, body: { error: { code: 'event_not_found' } } });
  expect((await events()).data).toEqual([]);
});

it('events come in pages and by time', async () => {
  for (const n of [1, 2, 3]) await server.call('POST', '/v1/sandboxes', { body: sandbox(`e-${n}`) });
  const first = await events('?limit=2');
  expect(first.data.map(({ payload }) => payload['name'])).toEqual(['e-3', 'e-2']);
  const second = await events(`?limit=2&cursor=${first.next_cursor}`);
  expect(second).toMatchObject({ data: [{ payload: { name: 'e-1' } }], has_more: false, next_cursor: null });
  const middle = encodeURIComponent(String(first.data[1]?.timestamp));
  expect((await events(`?until=${middle}&since=${middle}`)).data).toContainEqual(first.data[1]);
  expect((await events(`?until=2020-01-01T00:00:00Z`)).data).toEqual([]);
  for (const bad of ['limit=0', 'limit=101', 'since=yesterday', 'cursor=x'])
    expect((await server.call('GET', `/v1/events?${bad}`)).status).toBe(400);
});

it('use is what sandboxes were given for as long as they ran', async () => {
  const id = await server.start('used');
  await server.call('POST', `/v1/sandboxes/${id}/stop`);
  const usage = async () => (await server.call('GET', '/v1/billing/usage/sandbox')).body as UsageBreakdown;
  const { rows, sandboxes } = await usage();
  expect(sandboxes).toEqual([{ id, name: 'used', slug: expect.stringMatching(/^[a-z]+-[a-z]+-\d+$/) }]);
  const [row] = rows;
  expect(row).toMatchObject({ sandbox_id: id, disk_mib_seconds: 0 });
  expect(row?.vcpu_seconds).toBeGreaterThan(0);
  expect(row?.mem_mib_seconds).toBeCloseTo((row?.vcpu_seconds ?? 0) * 512, 6);
  expect(await usage()).toEqual({ rows, sandboxes });
  const summary = (await server.call('GET', '/v1/billing/usage')).body as UsageSummary;
  expect(summary).toMatchObject({ total_cents: 0, line_items: [{ name: 'vcpu_hours' }, { name: 'memory_gib_hours' }] });
  expect(summary.line_items[0]?.quantity).toBeCloseTo((row?.vcpu_seconds ?? 0) / 3600, 9);
  expect((await server.call('GET', '/v1/quotas')).body).toMatchObject({
    max_sandboxes: null,
    total_sandboxes: 1,
    concurrent_persistent_running: 0,
    vcpu_hours_used: summary.line_items[0]?.quantity,
  });
});

it('a key is told its organisation, which has no user accounts', async () => {
  const { secret } = await server.store.create({ name: 'k', role: 'organisation', org: 'acme' });
  const { body } = await server.call('GET', '/v1/me/org', { key: secret.reveal() });
  expect(body).toMatchObject({ name: 'acme', slug: 'acme', role: 'owner', mfa_required: false });
  expect((await server.call('GET', '/v1/members')).body).toEqual({ data: [], has_more: false, next_cursor: null });
  expect((await server.call('GET', '/v1/billing/usage/storage')).body).toEqual({ rows: [], volumes: [] });
});

const sandbox = (name: string) => ({ name, image: { type: 'oci', reference: 'host' } });
