import { describe, expect, it } from 'vitest';
import { parseCustomerId } from '../../../src/core/ids.ts';
import { endpointUrl } from '../../../src/mcp/endpoint-url.ts';

const customer = parseCustomerId('acme');

describe('the URL of an MCP endpoint', () => {
  it.each([
    ['http://h:5/', { tools: 'code' }, 'http://h:5/mcp'],
    ['http://h:5', { tools: 'both', customer }, 'http://h:5/customers/acme/mcp?tools=both'],
    ['https://h/behind/a/proxy?x=1', { tools: 'direct', customer }, 'https://h/behind/a/proxy?x=1&tools=direct'],
  ] as const)('of %s, with %j', (text, options, expected) => {
    expect(endpointUrl(text, options)).toBe(expected);
  });

  it.each(['ftp://h/', 'h:5', '', 'http://ann:secret@h/'])('is not %j', (text) => {
    expect(() => endpointUrl(text, { tools: 'code' })).toThrow('must be an http or https URL');
    expect(() => endpointUrl(text, { tools: 'code' })).not.toThrow('secret');
  });
});
