// Holds a mounted capacity image until it is killed: `mount-holder.ts IMAGE DIRECTORY`; prints a line when it is mounted.
import { CapacityMount } from '../../src/util/capacity-image.ts';

const [image = '', directory = ''] = process.argv.slice(2);
await CapacityMount.open({ image, directory });
console.log('mounted');
setInterval(() => {}, 1_000_000);
