// Makes the volume `mounted` with a capacity and a file in it below the folder ROOT, and stays until it is killed.
import { VolumeStore } from '../../src/sandbox/volumes.ts';

const store = new VolumeStore(String(process.argv[2]));
const { id } = await store.create('org', { name: 'mounted', labels: {}, capacity_gib: 1 });
await (await store.filesOf('org', id)).writeFile('file', 'kept');
console.log('mounted');
setInterval(() => {}, 1_000_000);
