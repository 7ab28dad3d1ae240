import { join } from 'node:path';
import { createDriver } from '../../src/workcell/driver-choice.ts';
import { createWorkcell, type Workcell } from '../../src/workcell/workcell.ts';
import { type CellOptions, writeConfig } from './cell-config.ts';
import { tempFolder } from './temp-folder.ts';

/** A Workcell of its own, with real guests; the cache of the user, which holds the template, is shared. */
export interface Cell extends AsyncDisposable {
  readonly workcell: Workcell;
  /** Holds `config.yaml`, `workspaces/`, `servers/` and `skills/`; goes away with the cell. */
  readonly folder: string;
  readonly configPath: string;
  /** The host's path of a file in a customer's `/workspace`. */
  hostPath(customer: string, path: string): string;
}

/** Opens one. A host that cannot boot guests is a failure, in the words of the driver's probe. */
export async function openCell(options: CellOptions = {}): Promise<Cell> {
  const folder = await tempFolder();
  try {
    const configPath = await writeConfig(folder.path, options);
    const workcell = await createWorkcell({ config: configPath });
    await assertReady(workcell);
    return {
      workcell,
      folder: folder.path,
      configPath,
      hostPath: (customer, path) => join(folder.path, 'workspaces', customer, 'files', path),
      [Symbol.asyncDispose]: async () => {
        await workcell.close();
        await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

async function assertReady(workcell: Workcell): Promise<void> {
  await using driver = await createDriver(workcell.loaded.config);
  const { ready, problems } = await driver.probe();
  if (ready) return;
  const lines = problems.map(({ what, fix }) => `${what}: ${fix}`);
  throw new Error(`This host cannot boot guests.\n${lines.join('\n')}`);
}
