// Runs in the nested host: everything that the driver `microsandbox` promises, on real microVMs of libkrun.
import { parseArgs } from 'node:util';
import { writeReport } from '../report.ts';
import { group, openBench } from './bench.ts';
import { checkClients } from './clients.ts';
import { checkDoctor, checkRun } from './commands.ts';
import { reportConformance } from './conformance.ts';
import { checkDriver } from './driver.ts';
import { checkNetwork } from './network.ts';
import { reportWork } from './report-work.ts';

const { values } = parseArgs({
  options: {
    programs: { type: 'string' },
    clients: { type: 'string' },
    busybox: { type: 'string' },
    only: { type: 'string' },
  },
});
const { programs = '', clients = '', busybox = '', only } = values;
const msb = `${clients}/node_modules/@superradcompany/microsandbox-linux-x64-gnu/bin/msb`;

writeReport({ kind: 'progress', text: 'the nested host runs' });
reportWork();
const bench = await openBench({ folder: '/root/testbed', programs, clients: { folder: clients, msb }, busybox, only });
await group(bench, 'doctor', () => checkDoctor(bench));
await group(bench, 'driver', () => checkDriver(bench));
await group(bench, 'network', () => checkNetwork(bench));
await group(bench, 'clients', () => checkClients(bench));
await group(bench, 'run', () => checkRun(bench));
// Only when it is asked for: it takes long.
if (only === 'conformance') await group(bench, 'conformance', () => reportConformance(bench));
writeReport({ kind: 'end' });
