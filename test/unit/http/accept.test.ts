import { expect, it } from 'vitest';
import { acceptedType } from '../../../src/http/accept.ts';

const OFFERED = ['application/json', 'application/x-ndjson', 'text/event-stream'];

it.each([
  [undefined, 'application/json'],
  ['*/*', 'application/json'],
  ['text/event-stream', 'text/event-stream'],
  ['text/*', 'text/event-stream'],
  ['application/*', 'application/json'],
  ['Application/X-NDJSON; charset=utf-8', 'application/x-ndjson'],
  ['application/json;q=0.5, application/x-ndjson', 'application/x-ndjson'],
  ['application/json;q=0, */*;q=0.1', 'application/x-ndjson'],
  ['*/*;q=0.1, text/event-stream;q=0.2', 'text/event-stream'],
  ['text/html', undefined],
  ['application/json;q=0', undefined],
  ['application/json;q=two', undefined],
  ['', undefined],
])('an Accept of %j gets %j', (header, type) => {
  expect(acceptedType(header, OFFERED)).toBe(type);
});
