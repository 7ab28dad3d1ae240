import { expect, it } from 'vitest';
import { billingPeriod, type Run, usageBreakdown, usageSummary } from '../../../src/sandbox/usage.ts';

const at = (text: string) => Date.parse(`2026-11-${text}Z`);
const run = (start: string, end: string, more: Partial<Run> = {}): Run => ({
  org_id: 'o',
  sandbox_id: 's',
  name: 'n',
  slug: 'g',
  vcpus: 2,
  memory_mib: 512,
  start: at(start),
  end: at(end),
  ...more,
});
const november = billingPeriod(new Date('2026-11-30T23:59:59Z'));

it('the period is the month, in UTC', () => {
  expect(november).toEqual({ start: new Date('2026-11-01T00:00:00Z'), end: new Date('2026-12-01T00:00:00Z') });
});

it('a run over midnight counts on both days, by seconds', () => {
  const { rows } = usageBreakdown([run('10T23:59:50', '11T00:00:20')], november);
  expect(rows).toEqual([
    { sandbox_id: 's', day: '2026-11-10T00:00:00.000Z', vcpu_seconds: 20, mem_mib_seconds: 5120, disk_mib_seconds: 0 },
    {
      sandbox_id: 's',
      day: '2026-11-11T00:00:00.000Z',
      vcpu_seconds: 40,
      mem_mib_seconds: 10_240,
      disk_mib_seconds: 0,
    },
  ]);
});

it('runs of one sandbox on one day are one row, and what lies outside of the period does not count', () => {
  const runs = [
    run('10T01:00:00', '10T01:00:10'),
    run('10T02:00:00', '10T02:00:05'),
    run('10T03:00:00', '10T03:00:00'),
    { ...run('01T00:00:00', '01T00:00:01'), start: Date.parse('2026-10-31T23:00:00Z') },
    run('30T00:00:00', '30T00:00:00', { end: Date.parse('2026-12-02T00:00:00Z'), sandbox_id: 't' }),
  ];
  const { rows, sandboxes } = usageBreakdown(runs, november);
  expect(rows.map(({ sandbox_id, day, vcpu_seconds }) => [sandbox_id, day.slice(8, 10), vcpu_seconds])).toEqual([
    ['s', '10', 30],
    ['s', '01', 2],
    ['t', '30', 172_800],
  ]);
  expect(sandboxes.map(({ id }) => id)).toEqual(['s', 't']);
});

it('the summary adds up to hours and costs nothing', () => {
  const summary = usageSummary([run('10T00:00:00', '10T01:00:00'), run('11T00:00:00', '11T00:30:00')], november, 1.5);
  expect(summary).toMatchObject({
    line_items: [
      { name: 'vcpu_hours', quantity: 3, unit: 'hours', amount_cents: 0 },
      { name: 'memory_gib_hours', quantity: 0.75, unit: 'hours', amount_cents: 0 },
    ],
    total_cents: 0,
    storage_gib: 1.5,
  });
  expect(summary.daily).toHaveLength(4);
});
