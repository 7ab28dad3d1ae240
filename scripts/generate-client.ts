/**
 * Writes the types of the client from the OpenAPI document of the server: `src/client/operations.ts`.
 * Run: `npm run generate:client`; a test fails when what is there is not what this would write.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../src/config/load-config.ts';
import type { HttpContext } from '../src/http/define-route.ts';
import { httpRoutes } from '../src/http/http-api.ts';
import type { Content, Operation } from '../src/http/openapi.ts';
import { openApiDocument } from '../src/http/openapi.ts';

const TARGET = fileURLToPath(new URL('../src/client/operations.ts', import.meta.url));

type Schema = { readonly [keyword: string]: unknown };

if (import.meta.main) await writeFile(TARGET, await clientTypes());

/** The text of the file. */
export async function clientTypes(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'workcell-'));
  try {
    await writeFile(join(folder, 'config.yaml'), '{}');
    const loaded = await loadConfig({ path: join(folder, 'config.yaml'), env: {} });
    // Routes look at the limits of the configuration when they are defined, and at everything else when they are called.
    const document = openApiDocument(httpRoutes({ cell: { loaded } } as HttpContext), '0');
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => entryOf(`${method.toUpperCase()} ${path}`, operation)),
    );
    const components = Object.entries(document.components.schemas).map(
      ([name, schema]) => `export type ${name} = ${typeOf(schema as Schema)};`,
    );
    const text = [
      '// Generated from the OpenAPI document by scripts/generate-client.ts.',
      '',
      '/** What each operation of the API takes and answers. */',
      `export interface Operations {\n${operations.join('\n')}\n}`,
      '',
      ...components,
    ].join('\n');
    return format(text);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function entryOf(name: string, { parameters, requestBody, responses }: Operation): string {
  const of = (place: string) => {
    const fields = parameters.filter((parameter) => parameter.in === place);
    if (fields.length === 0) return 'undefined';
    const lines = fields.map(({ name: field, required, schema }) => propertyOf(field, typeOf(schema), required));
    return `{ ${lines.join(' ')} }`;
  };
  const body = requestBody === undefined ? 'undefined' : contentOf(requestBody.content);
  const answers = Object.entries(responses)
    .filter(([status]) => status.startsWith('2'))
    .map(([, { content }]) => contentOf(content));
  return `'${name}': { params: ${of('path')}; query: ${of('query')}; body: ${body}; answer: ${[...new Set(answers)].join(' | ')} };`;
}

/** As JSON; what comes in no other way than as bytes or as a stream is `undefined`. */
function contentOf(content: Content | undefined): string {
  const schema = content?.['application/json']?.schema;
  return schema === undefined ? 'undefined' : typeOf(schema as Schema);
}

function typeOf(schema: Schema): string {
  const { $ref, anyOf, oneOf, allOf, type, properties, items, additionalProperties } = schema;
  if (typeof $ref === 'string') return $ref.split('/').at(-1) ?? 'unknown';
  if ('const' in schema) return JSON.stringify(schema['const']);
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => JSON.stringify(value)).join(' | ');
  if (Array.isArray(anyOf ?? oneOf)) return `(${((anyOf ?? oneOf) as Schema[]).map(typeOf).join(' | ')})`;
  if (Array.isArray(allOf)) return allOf.map((part) => typeOf(part as Schema)).join(' & ');
  if (Array.isArray(type)) return `(${type.map((each) => typeOf({ ...schema, type: each })).join(' | ')})`;
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
      return type;
    case 'integer':
    case 'number':
      return 'number';
    case 'array':
      return `readonly (${typeOf((items ?? {}) as Schema)})[]`;
    case 'object': {
      const required = new Set((schema['required'] ?? []) as string[]);
      const fields = Object.entries((properties ?? {}) as Record<string, Schema>);
      if (fields.length === 0)
        return `{ readonly [key: string]: ${typeof additionalProperties === 'object' ? typeOf(additionalProperties as Schema) : 'unknown'} }`;
      return `{ ${fields.map(([name, field]) => propertyOf(name, typeOf(field), required.has(name))).join(' ')} }`;
    }
    default:
      return 'unknown';
  }
}

function propertyOf(name: string, type: string, isRequired: boolean): string {
  const key = /^[A-Za-z_]\w*$/.test(name) ? name : `'${name}'`;
  return `readonly ${key}${isRequired ? ':' : '?:'} ${type}${isRequired ? '' : ' | undefined'};`;
}

function format(text: string): string {
  const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');
  const { status, stdout, stderr } = spawnSync(process.execPath, [biome, 'format', '--stdin-file-path=operations.ts'], {
    input: text,
    encoding: 'utf8',
  });
  if (status === 0) return stdout;
  throw new Error(`The types could not be formatted: ${stderr}`);
}
