import { randomBytes } from 'node:crypto';
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { approvalIdOf } from '../../../src/core/approval.ts';
import { parseCustomerId, parseExecutionId } from '../../../src/core/ids.ts';
import { ApprovalFolder } from '../../../src/sessions/approval-folder.ts';
import { Secret } from '../../../src/util/secret.ts';
import { eventually } from '../../support/processes.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const executionId = parseExecutionId('exe_1');
const ID = approvalIdOf(executionId, 1);
let temp: TempFolder;
let path: string;

beforeEach(async () => {
  temp = await tempFolder();
  path = join(temp.path, 'approvals');
});

afterEach(() => temp[Symbol.asyncDispose]());

const yes = { approved: true, by: 'ann', reason: 'ticket 42' };
const newKey = () => new Secret(randomBytes(32).toString('hex'));

function folderOf(current?: Secret, old: readonly Secret[] = [], customer = 'ann'): ApprovalFolder {
  return new ApprovalFolder({ customer: parseCustomerId(customer), path, keys: { current, old } });
}

describe('the folder of approvals', () => {
  it('lists what waits until it is removed, and forgets the decision then', async () => {
    const folder = folderOf();
    expect(await folder.list()).toEqual([]);
    for (const ordinal of [1, 2]) await folder.add(approvalIdOf(executionId, ordinal));
    await folder.decide(ID, yes);
    expect([...(await folder.list())].sort()).toEqual([ID, approvalIdOf(executionId, 2)]);
    await folder.remove(ID);
    await folder.remove(ID);
    expect(await folder.list()).toEqual([approvalIdOf(executionId, 2)]);
    expect(await folder.findDecision(ID)).toBeUndefined();
  });

  it('lets one of many contrary decisions win, and tells all of them which', async () => {
    const folder = folderOf();
    await folder.add(ID);
    const both = await Promise.all(
      Array.from({ length: 20 }, (_, index) => folder.decide(ID, { approved: index % 2 === 0, by: `user ${index}` })),
    );
    expect(new Set(both.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(await folder.findDecision(ID)).toEqual(both[0]);
    expect((await readdir(path)).sort()).toEqual([`${ID}.decision.json`, `${ID}.open`]);
  });

  it('tells whoever watches of a decision, also when it is made while nobody has used the folder', async () => {
    let told = 0;
    using _watch = folderOf().watch(() => {
      told += 1;
    });
    await folderOf().add(ID);
    await eventually(() => told > 0);
  });

  it.each(['../../etc/passwd', 'apr_', 'apr_exe', 'apr_exe/1_1', 'apr_exe_1_0', 'exe_1_1', ''])(
    'knows no approval %j, and touches no file for it',
    async (id) => {
      const folder = folderOf();
      await expect(folder.add(id)).rejects.toMatchObject({ code: 'not_found' });
      await expect(folder.findDecision(id)).rejects.toMatchObject({ code: 'not_found' });
      await expect(folder.decide(id, yes)).rejects.toMatchObject({ code: 'not_found' });
    },
  );

  it('does not take a damaged file for a decision', async () => {
    const folder = folderOf();
    await folder.add(ID);
    for (const damaged of ['{"approved":"yes"}', '{"appro', 'null']) {
      await writeFile(join(path, `${ID}.decision.json`), damaged);
      await expect(folder.findDecision(ID)).rejects.toMatchObject({ code: 'storage_failed' });
    }
  });
});

describe('the folder of approvals, with the key of encrypted sessions', () => {
  const key = newKey();
  const file = (id = ID) => join(path, `${id}.decision.json`);

  it('shows nothing of a decision, and reads it also when the key has changed', async () => {
    expect(await folderOf(key).decide(ID, yes)).toEqual(yes);
    const text = await readFile(file(), 'utf8');
    for (const word of ['ann', 'ticket', 'approved', 'true']) expect(text).not.toContain(word);
    expect(await folderOf(newKey(), [key]).findDecision(ID)).toEqual(yes);
    expect(await folderOf(undefined, [key]).findDecision(ID)).toEqual(yes);
  });

  it('says which key is missing, and what to do', async () => {
    await folderOf(key).decide(ID, yes);
    for (const folder of [folderOf(), folderOf(newKey())]) {
      const finding = folder.findDecision(ID);
      await expect(finding).rejects.toMatchObject({ code: 'invalid_config' });
      await expect(finding).rejects.toThrow(
        /^A decision on an approval is encrypted with the key [0-9a-f]{8}, and .*(set sessions.encryptionKey|to sessions.oldKeys)$/,
      );
    }
  });

  it.each([
    ['is not encrypted', () => writeFile(file(), JSON.stringify(yes)), 'is not encrypted'],
    ['was changed', async () => writeFile(file(), flipped(await readFile(file(), 'utf8'))), 'was changed'],
    ['was made on another call', () => copyFile(file(approvalIdOf(executionId, 2)), file()), 'was changed'],
  ])('takes no decision that %s', async (_, forge, message) => {
    const folder = folderOf(key);
    for (const ordinal of [1, 2]) await folder.decide(approvalIdOf(executionId, ordinal), yes);
    await forge();
    const finding = folder.findDecision(ID);
    await expect(finding).rejects.toMatchObject({ code: 'storage_failed', message: expect.stringContaining(message) });
  });

  it('takes no decision of another customer', async () => {
    await folderOf(key).decide(ID, yes);
    await expect(folderOf(key, [], 'bob').findDecision(ID)).rejects.toMatchObject({ code: 'storage_failed' });
  });
});

function flipped(text: string): string {
  const { sealed, ...rest } = JSON.parse(text) as { sealed: string };
  const bytes = Buffer.from(sealed, 'base64');
  bytes[20] = (bytes[20] ?? 0) ^ 1;
  return JSON.stringify({ ...rest, sealed: bytes.toString('base64') });
}
