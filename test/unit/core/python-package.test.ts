import { expect, test } from 'vitest';
import { pythonPackage } from '../../../src/core/python-package.ts';

test.each([
  ['memory', 'memory'],
  ['my-server', 'my_server'],
  ['my_server', 'my_server'],
  ['1password', '_1password'],
  ['class', 'class_'],
  ['a--b', 'a__b'],
])('%s is imported as servers.%s', (server, name) => {
  expect(pythonPackage(server)).toBe(name);
});
