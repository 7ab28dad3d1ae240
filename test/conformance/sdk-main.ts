// Runs the operations of the SDK in a process of their own, whose environment selects the server; prints one result a line.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runOperations } from './operation.ts';
import { SDK_OPERATIONS } from './sdk-operations.ts';

const [folder = '', image = '', scratch = '', slowness = '1'] = process.argv.slice(2);
const entry = createRequire(join(folder, 'package.json')).resolve('microsandbox');
const sdk = await import(pathToFileURL(entry).href);
await runOperations(
  'sdk',
  SDK_OPERATIONS,
  { sdk, image, scratch },
  {
    onResult: (result) => console.log(JSON.stringify(result)),
    slowness: Number(slowness),
  },
);
// Whatever the package still holds open is of no further interest.
process.exit(0);
