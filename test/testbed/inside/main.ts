// Runs in the nested host: everything that the driver `microsandbox` promises, on real microVMs of libkrun.
import { parseArgs } from 'node:util';
import { writeReport } from '../report.ts';
import { group, openBench } from './bench.ts';
import { checkDoctor, checkRun } from './commands.ts';
import { checkConformance } from './conformance.ts';
import { checkContainment } from './containment.ts';
import { checkDriver } from './driver.ts';

const { values } = parseArgs({
  options: {
    project: { type: 'string' },
    clients: { type: 'string' },
    busybox: { type: 'string' },
    only: { type: 'string' },
  },
});
const { project = '', clients = '', busybox = '', only } = values;
const msb = `${clients}/node_modules/@superradcompany/microsandbox-linux-x64-gnu/bin/msb`;

writeReport({ kind: 'progress', text: 'the nested host runs' });
const bench = await openBench({ folder: '/root/testbed', project, clients: { folder: clients, msb }, busybox, only });
await group(bench, 'doctor', () => checkDoctor(bench));
await group(bench, 'driver', () => checkDriver(bench));
await group(bench, 'containment', () => checkContainment(bench));
await group(bench, 'clients', () => checkConformance(bench));
await group(bench, 'run', () => checkRun(bench));
writeReport({ kind: 'end' });
