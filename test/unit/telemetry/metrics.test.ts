import { expect, test } from 'vitest';
import type { ExecutionResult } from '../../../src/core/execution.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';

const RESULT = {
  status: 'completed',
  language: 'python',
  timing: { selectMs: 1, generateMs: 2, acquireMs: 3, runMs: 40, totalMs: 50 },
  calls: [
    { seq: 1, server: 'memory', tool: 'create', ms: 30, ok: true },
    { seq: 2, server: 'memory', tool: 'create', ms: 30, ok: false, error: { code: 'timeout', message: '' } },
    {
      seq: 3,
      server: 'made-up-by-a-program',
      tool: 'x',
      ms: 0,
      ok: false,
      error: { code: 'not_selected', message: '' },
    },
  ],
} as unknown as ExecutionResult;

test('counts what ended into histograms of seconds', async () => {
  const metrics = new Metrics();
  metrics.executionStarted();
  metrics.executionStarted();
  metrics.executionEnded(RESULT);
  metrics.sandboxStarted('qemu', 'pooled', 120);
  metrics.sandboxStarted('qemu', undefined, 5_000);
  metrics.requested({ method: 'GET', route: '/v1/sandboxes', status: 200 }, 3);
  metrics.refused('executionsAtOnce');
  const lines = (await metrics.text()).split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'workcell_executions_running 1',
      'workcell_execution_duration_seconds_sum{status="completed",language="python"} 0.05',
      'workcell_execution_duration_seconds_bucket{le="0.025",status="completed",language="python"} 0',
      'workcell_execution_duration_seconds_bucket{le="0.05",status="completed",language="python"} 1',
      'workcell_execution_phase_seconds_sum{phase="acquire"} 0.003',
      'workcell_sandbox_start_seconds_sum{driver="qemu",boot="pooled"} 0.12',
      'workcell_sandbox_start_failures_total{driver="qemu"} 1',
      'workcell_tool_call_duration_seconds_count{server="memory",outcome="ok"} 1',
      'workcell_tool_call_duration_seconds_count{server="memory",outcome="timeout"} 1',
      'workcell_http_request_duration_seconds_count{method="GET",route="/v1/sandboxes",status="200"} 1',
      'workcell_quota_refusals_total{quota="executionsAtOnce"} 1',
    ]),
  );
});

test('has no label that a program can choose', async () => {
  const metrics = new Metrics();
  metrics.executionEnded(RESULT);
  expect(await metrics.text()).not.toContain('made-up');
});

test('looks up what it watches when somebody asks', async () => {
  const metrics = new Metrics();
  let running = 1;
  metrics.watch({
    guests: () => ({ running, failed: 0 }),
    pool: () => ({ waiting: 2, size: 3 }),
    breakers: () => [['memory', 'open'] as const],
  });
  running = 4;
  const lines = (await metrics.text()).split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'workcell_sandboxes{state="running"} 4',
      'workcell_sandboxes{state="failed"} 0',
      'workcell_pool_guests{kind="waiting"} 2',
      'workcell_pool_guests{kind="wanted"} 3',
      'workcell_upstream_breaker_state{server="memory"} 2',
    ]),
  );
});

test('two of them in one process count apart', async () => {
  const [one, two] = [new Metrics(), new Metrics()];
  one.refused('disk');
  expect(await two.text()).not.toContain('disk');
});
