import type { z } from 'zod';
import { parseSkillDocument, renderSkillDocument } from '../../src/catalog/skill-document.ts';
import { parseSkillRecord, renderSkillRecord } from '../../src/catalog/skill-record.ts';
import { readPythonImports } from '../../src/codegen/python-imports.ts';
import { pythonTokens } from '../../src/codegen/python-tokens.ts';
import { renderPythonWrapper } from '../../src/codegen/python-wrapper.ts';
import { renderWrapper } from '../../src/codegen/wrapper.ts';
import { isWorkcellError } from '../../src/core/errors.ts';
import type { JsonSchema } from '../../src/core/tool.ts';
import { runnerFrameSchema } from '../../src/executor/runner-frame-schema.ts';
import { encodeFrame, FrameDecoder } from '../../src/protocol/agent-frames.ts';
import { decodeMessage, encodeAnyMessage } from '../../src/protocol/agent-messages.ts';
import {
  createSandboxQuerySchema,
  createSandboxSchema,
  createVolumeSchema,
  listQuerySchema,
} from '../../src/protocol/rest.ts';
import { encodeLine, LineDecoder } from '../../src/protocol/runner-frames.ts';
import { parseKeyFile } from '../../src/sandbox/key-file.ts';
import { issueLegacyToken, verifyLegacyToken } from '../../src/sandbox/legacy-token.ts';
import { parse } from '../../src/sandbox/routes/parse.ts';
import { Secret } from '../../src/util/secret.ts';
import { SCHEMA_SAMPLES, type SchemaSample } from '../support/tool-schemas.ts';
import type { Random } from '../unit/random.ts';
import { mutateBytes, mutateJson } from './mutate.ts';
import { openServerTarget, type SeedCall } from './server-target.ts';
import { openSessionTargets } from './session-targets.ts';
import { openUploadTarget, readArchive } from './tar-target.ts';

/** One thing that reads what others have written. To fuzz another one, add it to {@link openTargets}. */
export interface FuzzTarget {
  readonly name: string;
  /** How many of a thousand inputs it gets. */
  readonly share: number;
  /** Feeds it one mutated input. Whatever it throws is a finding. */
  readonly run: (random: Random) => void | Promise<void>;
}

const MESSAGES = [
  encodeAnyMessage(1, 'core.exec.request', { cmd: 'sh', args: ['-c', 'x'], env: ['A=b'], rlimits: [{ soft: 1 }] }),
  encodeAnyMessage(2, 'core.exec.stdout', { data: Buffer.from('some output') }),
  encodeAnyMessage(0xffff_ffff, 'core.fs.request', { op: { Stat: { path: '/x', follow_symlink: true } } }),
  encodeAnyMessage(3, 'core.ready', { boot_time_ns: 2 ** 40, agent_version: 'ünï' }),
  { id: 4, flags: 255, body: new Uint8Array(0) },
] as const;
const BODIES = MESSAGES.map(({ body }) => body) as [Uint8Array, ...Uint8Array[]];
const STREAM = Buffer.concat(MESSAGES.map(encodeFrame));

const LINES = [
  encodeLine({ t: 'hello', version: 1 }),
  encodeLine({ t: 'out', run: 'a', stream: 'stdout', text: 'ünï 🙂' }),
  encodeLine({ t: 'call', run: 'a', call: 1, server: 's', tool: 't', input: { deep: [1, null, { a: 'b' }] } }),
  encodeLine({
    t: 'done',
    run: 'a',
    end: { kind: 'error', error: { name: 'E', message: 'm', stack: 's', fields: { code: 1 } } },
    usage: { stdoutBytes: 1, stderrBytes: 0, ms: 2.5 },
  }),
] as const;

const PYTHON = Buffer.from(`"""Doc."""
from __future__ import annotations
import a.b as c; from d import (e, f as g,)  # why
x = rb'\\'' + f"{d['k']:>{w}} {{}} {f"{1}"}" if 'ü' else \\
  '''
'''
`);

const SANDBOX_BODY = {
  name: 'a',
  image: { type: 'oci', reference: 'host' },
  resources: { vcpus: 1, memory_mib: 512 },
  env: [{ key: 'A', value: 'b' }],
  labels: { team: 'x' },
  lifecycle: { ephemeral: true, idle_timeout_secs: 5, max_duration_secs: null },
  mounts: [
    { type: 'tmpfs', guest: '/a', size_mib: 1 },
    { type: 'named', name: 'v', guest: '/b', options: { readonly: true } },
    { type: 'bind', host: '/x', guest: '/c' },
  ],
  network: { enabled: false, policy: { default_egress: 'deny', rules: [] }, secrets: { entries: [] } },
  runtime: { workdir: '/w', user: 'root', cmd: ['a'], scripts: { start: 'x' } },
};
const VOLUME_BODY = { name: 'a-b', labels: { a: 'b' }, capacity_gib: 1 };

const CREATE_QUERY = { start: 'true', wait_for: 'running', wait_timeout: '5' };
const LIST_QUERY = { cursor: 'x', limit: '5', labels: '{"a":"b"}' };

const SECRET = new Secret('0'.repeat(64));
const TOKEN = Buffer.from(issueLegacyToken({ namespace: 'acme', expiresInMs: 60_000 }, SECRET).reveal());
const KEY_FILE = {
  version: 1,
  organisations: [{ id: '00000000-0000-4000-8000-000000000001', name: 'default' }],
  keys: [
    {
      id: 'key_1',
      name: 'n',
      role: 'administrator',
      org: '00000000-0000-4000-8000-000000000001',
      prefix: 'msb_',
      hash: '0'.repeat(64),
      createdAt: '2026-01-01T00:00:00.000Z',
      maxSandboxes: 1,
    },
  ],
};

const SKILL = Buffer.from(`---
name: tidy
description: "Tidies \\u00fcp: all of it"
license: MIT
metadata: {author: 'Ann', list: "[a, b]"}
compatibility: >-
  many
  lines
---
# Tidy
`);
const SKILL_RECORD = {
  v: 1,
  execution: 'exe_1',
  savedAt: '2026-01-01T00:00:00.000Z',
  tools: [{ server: 'memory', tool: 'read', schemaHash: '0'.repeat(64) }],
};

const CALLS: readonly [SeedCall, ...SeedCall[]] = [
  { method: 'POST', path: '/v1/sandboxes?start=true&wait_for=running&wait_timeout=1', body: SANDBOX_BODY },
  { method: 'POST', path: '/v1/sandboxes', body: SANDBOX_BODY },
  { method: 'GET', path: '/v1/sandboxes?limit=5&labels=%7B%22team%22%3A%22x%22%7D' },
  { method: 'GET', path: '/v1/sandboxes/by-name/a' },
  { method: 'POST', path: '/v1/sandboxes/by-name/a/stop' },
  { method: 'DELETE', path: '/v1/sandboxes/by-name/a' },
  { method: 'POST', path: '/v1/volumes', body: VOLUME_BODY },
  { method: 'DELETE', path: '/v1/volumes/00000000-0000-4000-8000-000000000001' },
];

/** All of them, with what they need open until the stack is disposed of. */
export async function openTargets(stack: AsyncDisposableStack): Promise<readonly FuzzTarget[]> {
  return [
    { name: 'agent frames', share: 260, run: agentFrames },
    { name: 'agent messages', share: 240, run: agentMessages },
    { name: 'runner lines', share: 100, run: runnerLines },
    { name: 'Python programs', share: 40, run: pythonPrograms },
    { name: 'schemas of tools', share: 20, run: toolSchemas },
    { name: 'body of a new sandbox', share: 100, run: schema(createSandboxSchema, SANDBOX_BODY) },
    { name: 'query of a new sandbox', share: 30, run: schema(createSandboxQuerySchema, CREATE_QUERY) },
    { name: 'query of a list', share: 30, run: schema(listQuerySchema, LIST_QUERY) },
    { name: 'body of a new volume', share: 50, run: schema(createVolumeSchema, VOLUME_BODY) },
    { name: 'tokens', share: 60, run: tokens },
    { name: 'key files', share: 26, run: keyFiles },
    { name: 'documents of skills', share: 12, run: skillDocuments },
    { name: 'records of skills', share: 8, run: skillRecords },
    { name: 'tar archives', share: 29, run: readArchive },
    { name: 'archives into a workspace', share: 1, run: await openUploadTarget(stack) },
    { name: 'the HTTP server', share: 14, run: await openServerTarget(CALLS, stack) },
    ...(await openSessionTargets(stack)),
  ];
}

/** The stream is cut at random, and what is no frame is refused with a RangeError at the place where it comes. */
function agentFrames(random: Random): void {
  const bytes = mutateBytes(STREAM, random);
  const decoder = new FrameDecoder();
  let out = 0;
  try {
    for (let at = 0; at < bytes.length; ) {
      const end = at + random.integer(1, bytes.length);
      for (const { body } of decoder.push(bytes.subarray(at, end))) out += body.length + 9;
      at = end;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  if (out + decoder.pendingBytes > bytes.length) throw new Error('More came out than had gone in');
}

function agentMessages(random: Random): void {
  const body = mutateBytes(random.pick(BODIES), random);
  const message = decodeMessage({ id: 1, flags: 0, body });
  if (message === undefined) return;
  if (typeof message.type !== 'string' || typeof message.version !== 'number') throw new Error('Not a message');
  assertUnpolluted();
}

function runnerLines(random: Random): void {
  const text = Buffer.from(mutateBytes(Buffer.from(random.pick(LINES)), random)).toString();
  try {
    for (const line of new LineDecoder().push(`${text}\n`)) runnerFrameSchema.safeParse(mutateJson(line, random));
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError || error instanceof RangeError)) throw error;
  }
  assertUnpolluted();
}

/** Whatever is no program is cut into tokens all the same, in order and without overlap. */
function pythonPrograms(random: Random): void {
  const source = Buffer.from(mutateBytes(PYTHON, random)).toString();
  let end = 0;
  for (const token of pythonTokens(source)) {
    if (token.start < end || token.end <= token.start) throw new Error('The tokens overlap');
    end = token.end;
  }
  if (readPythonImports(source).start > source.length) throw new Error('The program begins behind its end');
}

/** Whatever a server sends as a schema becomes modules, and small ones. */
function toolSchemas(random: Random): void {
  const { schema: seed } = random.pick(SCHEMA_SAMPLES as readonly [SchemaSample, ...SchemaSample[]]);
  const mutated = mutateJson(seed, random) as JsonSchema;
  const tool = { kind: 'upstream', server: 's', tool: 't', identifier: 't', pythonIdentifier: 't' } as const;
  const descriptor = { ...tool, description: '', inputSchema: mutated, outputSchema: mutated };
  for (const render of [renderWrapper, renderPythonWrapper]) {
    if (render(descriptor).length > 512 * 1024) throw new Error(`${render.name} gives too much`);
  }
  assertUnpolluted();
}

function schema(of: z.ZodType, seed: unknown): (random: Random) => void {
  return (random) => {
    try {
      parse(of, mutateJson(seed, random), 'body');
    } catch (error) {
      if (!isWorkcellError(error) || error.code !== 'invalid_argument') throw error;
    }
    assertUnpolluted();
  };
}

function tokens(random: Random): void {
  const token = Buffer.from(mutateBytes(TOKEN, random)).toString('latin1');
  if (verifyLegacyToken(token, SECRET) !== undefined && token !== TOKEN.toString()) throw new Error('Forged a token');
}

function keyFiles(random: Random): void {
  try {
    parseKeyFile(JSON.stringify(mutateJson(KEY_FILE, random)));
  } catch (error) {
    if (!isWorkcellError(error) || error.code !== 'storage_failed') throw error;
  }
}

/** What is read is read again when it is written, on one line that a terminal shows as it is. */
function skillDocuments(random: Random): void {
  try {
    const document = parseSkillDocument(Buffer.from(mutateBytes(SKILL, random)).toString(), 'tidy');
    if (/[\p{Cc}\p{Cf}]/u.test(document.description)) throw new Error('The description has control characters');
    const again = parseSkillDocument(renderSkillDocument(document), 'tidy');
    if (again.description !== document.description) throw new Error('The description changes when it is written');
  } catch (error) {
    if (!isWorkcellError(error) || error.code !== 'invalid_state') throw error;
  }
  assertUnpolluted();
}

function skillRecords(random: Random): void {
  try {
    const text = JSON.stringify(mutateJson(SKILL_RECORD, random)) ?? '';
    parseSkillRecord(renderSkillRecord(parseSkillRecord(text)));
  } catch (error) {
    if (!isWorkcellError(error) || error.code !== 'invalid_state') throw error;
  }
  assertUnpolluted();
}

function assertUnpolluted(): void {
  for (const _ in {}) throw new Error('Something was added to the prototype of all objects');
}
