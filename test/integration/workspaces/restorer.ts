import { parseCustomerId } from '../../../src/core/ids.ts';
import { SnapshotStore } from '../../../src/workspaces/snapshot-store.ts';
import { WorkspaceStore } from '../../../src/workspaces/workspace-store.ts';

// Restores a snapshot, and says when it begins: <root> <customer> <snapshot>.
const [root = '', customer = '', id = ''] = process.argv.slice(2);
const workspace = await new WorkspaceStore({ root }).open(parseCustomerId(customer));
const snapshots = new SnapshotStore(workspace, { maxSnapshots: 100 });
process.stdout.write('begins\n');
await snapshots.restore(id);
