import { expect, test } from 'vitest';
import { createWorkcell } from '../../../src/workcell/workcell.ts';
import { writeConfig } from '../../support/cell-config.ts';
import { tempFolder } from '../../support/temp-folder.ts';

test('a Workcell that is closed, or is about to be, begins nothing more', async () => {
  await using folder = await tempFolder();
  const config = await writeConfig(folder.path);
  await using workcell = await createWorkcell({ config });
  const ann = workcell.customer('ann');
  const code = 'return (';
  await ann.execute({ code, session: 'before' });
  const closing = workcell.close();
  const closed = { code: 'cancelled', message: expect.stringContaining('closed') };
  await expect(ann.start({ code, session: 'meanwhile' })).rejects.toMatchObject(closed);
  await closing;
  await expect(ann.start({ code, session: 'after' })).rejects.toMatchObject(closed);
  await using again = await createWorkcell({ config });
  expect(await again.customer('ann').listSessions()).toEqual(['before']);
});
