import { expect, test } from 'vitest';
import { redactTask } from '../../../src/selector/redact-task.ts';

test.each([
  ['Send "see you at nine" to ann@example.com', 'Send to'],
  ['Fetch https://user:pw@example.com/a?token=x and sum it up', 'Fetch and sum it up'],
  ['Show the invoice 2024-0093 of order AB-12', 'Show the invoice of order'],
  ['Log in with password: hunter and list the files', 'Log in with password and list the files'],
  ['The api key is abcdefgh, use it for the weather', 'The api key use it for the weather'],
  ['Read /home/ann/notes.txt and ~/x and C:\\temp\\y', 'Read and and'],
  ['Open rOBhSVKGVKe in the viewer', 'Open in the viewer'],
  ['Look up example.com for me', 'Look up for me'],
  [`Store ${'x'.repeat(25)} as my note`, 'Store as my note'],
  ["Don't lose what's mine", "Don't lose what's mine"],
  ['createEntities for a graph', 'createEntities for a graph'],
  ['"only this"', ''],
])('redactTask() keeps only plain words of %j', (task, expected) => {
  expect(redactTask(task)).toBe(expected);
});

test('redactTask() keeps whole words up to 240 characters', () => {
  const words = (count: number) => Array.from({ length: count }, () => 'abc').join(' ');
  expect(redactTask(words(60))).toBe(words(60));
  expect(redactTask(words(61))).toBe(words(60));
  expect(redactTask(`${words(59)} abcd`)).toHaveLength(240);
});
