import { describe, expect, it } from 'vitest';
import { composePython, importedPythonTools } from '../../../src/codegen/python-program.ts';
import { type ToolDescriptor, toolName } from '../../../src/core/tool.ts';

const tool = (server: string, pythonIdentifier?: string): ToolDescriptor => ({
  kind: 'upstream',
  server,
  tool: pythonIdentifier ?? 'plain',
  identifier: 'x',
  ...(pythonIdentifier === undefined ? {} : { pythonIdentifier }),
  description: '',
  inputSchema: true,
});

const create = tool('memory', 'create_entities');
const read = tool('memory', 'read_graph');
const search = tool('git-hub', 'search');
const find = tool('slack', 'search');
const plain = tool('calculator');
const known = [create, read, search, find, plain];

describe('importedPythonTools()', () => {
  it.each([
    ['from servers.memory import create_entities', ['memory.create_entities']],
    ['from servers.memory import read_graph as r, create_entities', ['memory.read_graph', 'memory.create_entities']],
    ['from servers.memory import *', ['memory.create_entities', 'memory.read_graph']],
    ['import servers.memory', ['memory.create_entities', 'memory.read_graph']],
    ['from servers import memory as m, slack', ['memory.create_entities', 'memory.read_graph', 'slack.search']],
    ['import servers.memory.read_graph', ['memory.read_graph']],
    ['from servers.memory.read_graph import read_graph', ['memory.read_graph']],
    ['from servers.memory.read_graph import read_graph as r', ['memory.read_graph']],
    ['def f():\n  from servers.git_hub import search', ['git-hub.search']],
    ['from servers.memory import readGraph, nothing', []],
    ['from servers.calculator import plain', []],
    ['from servers.runtime import ToolError', []],
    ['from .servers.memory import read_graph', []],
    ['import servers', []],
    ['from memory import read_graph', []],
    ['from servers.memory.read_graph.deep import read_graph', []],
  ])('finds in %j', (body, expected) => {
    expect(importedPythonTools(body, known).map(toolName)).toEqual(expected);
  });
});

describe('composePython()', () => {
  it('leaves a program without tools as it is', () => {
    expect(composePython([], 'result = 1')).toEqual({ source: 'result = 1', body: 'result = 1', imports: '' });
  });

  it('imports the tools that the program does not import itself, a line for each server', () => {
    const body = 'from servers.memory import read_graph\nresult = read_graph()';
    const imports = 'from servers.git_hub import search\nfrom servers.memory import create_entities';
    expect(composePython([create, read, search, plain, create], body)).toEqual({
      source: `${imports}\n\n${body}`,
      body,
      imports,
    });
  });

  it('renames what is taken, after the server', () => {
    const { imports } = composePython([find, search, tool('git_hub', 'search')], 'x = 1');
    expect(imports.split('\n')).toEqual([
      'from servers.git_hub import search as search_from_git_hub, search as search_from_git_hub_2',
      'from servers.slack import search',
    ]);
  });

  it('leaves out a tool whose name the program imports from elsewhere', () => {
    expect(composePython([search], 'from helpers import look as search').imports).toBe('');
  });

  it.each([
    ['"""Doc."""\nx = 1', '"""Doc."""\n\nIMPORTS\n\nx = 1'],
    ['from __future__ import annotations\nx = 1', 'from __future__ import annotations\n\nIMPORTS\n\nx = 1'],
    ['"""Doc."""', '"""Doc."""\n\nIMPORTS\n\n'],
  ])('shows the imports where they may stand: %j', (body, source) => {
    const program = composePython([search], body);
    expect(program.source).toBe(source.replace('IMPORTS', 'from servers.git_hub import search'));
    expect(program.body).toBe(body);
  });
});
