import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runConformance } from '../../conformance/run-conformance.ts';
import { writeReport } from '../report.ts';
import type { Bench } from './bench.ts';
import { serve } from './served.ts';

/** An emulated processor that runs a processor's virtualisation. */
const SLOWNESS = 4;

/** The everyday work of the stock clients; each operation is reported. */
export async function reportConformance(bench: Bench): Promise<void> {
  await using server = await serve(bench);
  const hostFolder = join(bench.folder, 'workspaces/shared');
  await mkdir(hostFolder);
  const { MSB_API_URL: url = '', MSB_API_KEY: apiKey = '' } = server.env;
  await runConformance({
    ...{ url, apiKey, hostFolder },
    clients: bench.clients,
    image: 'host',
    scratch: join(bench.folder, 'client'),
    onResult: (result) => writeReport({ kind: 'operation', result }),
    slowness: SLOWNESS,
  });
}
