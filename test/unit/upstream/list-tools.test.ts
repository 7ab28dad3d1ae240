import { describe, expect, it } from 'vitest';
import { listTools, type ToolPage } from '../../../src/upstream/list-tools.ts';

const pages = (...all: ToolPage[]) => {
  const asked: (string | undefined)[] = [];
  const read = async (cursor: string | undefined): Promise<ToolPage> => {
    asked.push(cursor);
    return all[asked.length - 1] ?? { tools: [] };
  };
  return { asked, read };
};
const entry = (name: string) => ({ name, inputSchema: { type: 'object' } });
const names = async (read: (cursor: string | undefined) => Promise<ToolPage>) =>
  (await listTools(read)).map(({ tool }) => tool);

describe('listTools', () => {
  it('reads all pages with the cursors it was given', async () => {
    const { asked, read } = pages(
      { tools: [entry('a')], nextCursor: 'p2' },
      { tools: [], nextCursor: 'p3' },
      { tools: [entry('b'), entry('c')] },
    );
    expect(await names(read)).toEqual(['a', 'b', 'c']);
    expect(asked).toEqual([undefined, 'p2', 'p3']);
  });

  it.each(['', null])('takes the cursor %j for the end', async (nextCursor) => {
    expect(await names(pages({ tools: [entry('a')], nextCursor }, { tools: [entry('b')] }).read)).toEqual(['a']);
  });

  it('refuses a cursor that comes twice', async () => {
    const { asked, read } = pages(...Array.from({ length: 9 }, () => ({ tools: [], nextCursor: 'again' })));
    await expect(names(read)).rejects.toMatchObject({
      code: 'protocol_error',
      message: expect.stringContaining('repeats'),
    });
    expect(asked).toHaveLength(2);
  });

  it.each([
    [99, true],
    [100, true],
    [101, false],
  ])('with %i pages: %s', async (count, isRead) => {
    const all = Array.from({ length: count }, (_, page) => ({
      tools: [entry(`t${page}`)],
      ...(page < count - 1 ? { nextCursor: `${page}` } : {}),
    }));
    const result = names(pages(...all).read);
    if (isRead) expect(await result).toHaveLength(count);
    else await expect(result).rejects.toMatchObject({ code: 'protocol_error' });
  });

  it('keeps the first of two tools with the same name', async () => {
    const page = {
      tools: [
        { ...entry('a'), description: 'one' },
        { ...entry('a'), description: 'two' },
      ],
    };
    expect(await listTools(pages(page).read)).toMatchObject([{ tool: 'a', description: 'one' }]);
  });

  it('loses no tool for what is broken in another, and keeps what can be read of it', async () => {
    const tools = [
      null,
      'tool',
      { description: 'nameless' },
      { name: '' },
      { name: 'bare' },
      { name: 'odd', description: 7, title: 'Odd', inputSchema: 'none', outputSchema: 3, annotations: 'x' },
      { name: 'true', inputSchema: true, annotations: { readOnlyHint: true, destructiveHint: 'no' } },
      { name: '../%/ü', inputSchema: { type: 'object', $ref: '#/nowhere' } },
    ];
    expect(await listTools(pages({ tools }).read)).toEqual([
      { tool: 'bare', description: '', inputSchema: { type: 'object' } },
      { tool: 'odd', description: 'Odd', inputSchema: { type: 'object' } },
      { tool: 'true', description: '', inputSchema: true, annotations: { readOnlyHint: true } },
      { tool: '../%/ü', description: '', inputSchema: { type: 'object', $ref: '#/nowhere' } },
    ]);
  });
});
