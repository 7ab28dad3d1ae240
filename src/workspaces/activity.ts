import type { GatedFiles } from '../util/gated-files.ts';
import { entriesOf, statIfThere } from './merge-tree.ts';

/** Changed whenever somebody lets go of the workspace. */
export const USED = '.used';

/** When anything was done with the workspace of a customer, as far as its folder tells. */
export async function lastActivity(home: GatedFiles): Promise<Date> {
  const marks = await Promise.all([USED, 'usage.json', 'sessions', 'files'].map((name) => statIfThere(home, name)));
  const logs = await entriesOf(home, 'sessions');
  const times = [...marks, ...logs].flatMap((entry) => (entry === undefined ? [] : [entry.modifiedAt.getTime()]));
  return new Date(Math.max(0, ...times));
}
