import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { OpenApiDocument } from '../../../src/http/openapi.ts';
import { type ApiServer, openApiServer } from '../../support/api-server.ts';

let api: ApiServer;
let document: OpenApiDocument;

beforeAll(async () => {
  api = await openApiServer({ driver: 'quiet' });
  document = (await api.call('GET', '/openapi.json', { key: null })).body as OpenApiDocument;
});
afterAll(async () => api[Symbol.asyncDispose]());

const text = z.string().min(1);
const jsonSchema = z.record(z.string(), z.unknown());
const mediaType = z.string().regex(/^(\*|[a-z]+)\/(\*|[a-z0-9.+-]+)$/);
const content = z.record(mediaType, z.strictObject({ schema: jsonSchema.optional() }));
const operation = z.strictObject({
  operationId: z.string().regex(/^[a-z][A-Za-z0-9]*$/),
  tags: z.array(text).min(1),
  summary: text.max(120),
  description: text.optional(),
  'x-scope': text,
  parameters: z.array(
    z.strictObject({
      name: text,
      in: z.enum(['path', 'query', 'header']),
      required: z.boolean(),
      description: text.optional(),
      schema: jsonSchema,
    }),
  ),
  requestBody: z.strictObject({ required: z.boolean(), content }).optional(),
  responses: z.record(
    z.string().regex(/^([1-5]\d\d|default)$/),
    z.strictObject({
      description: text,
      headers: z.record(text, z.strictObject({ description: text.optional(), schema: jsonSchema })).optional(),
      content: content.optional(),
    }),
  ),
});

/** The objects of the OpenAPI specification 3.1.1 that the document uses, with no other fields than it knows. */
const openApi = z.strictObject({
  openapi: z.string().regex(/^3\.1\.\d+$/),
  info: z.strictObject({ title: text, version: text, description: text }),
  security: z.array(z.record(text, z.array(text))).min(1),
  tags: z.array(z.strictObject({ name: text })),
  paths: z.record(
    z.string().startsWith('/'),
    z.partialRecord(z.enum(['get', 'head', 'put', 'post', 'patch', 'delete']), operation),
  ),
  components: z.strictObject({
    schemas: z.record(z.string().regex(/^[\w.-]+$/), jsonSchema),
    securitySchemes: z.record(
      text,
      z.strictObject({ type: z.literal('http'), scheme: z.literal('bearer'), description: text }),
    ),
  }),
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, each]) => ({ path, method, ...each })),
  );

describe('the OpenAPI document', () => {
  it('has the structure of OpenAPI 3.1', () => {
    expect(openApi.parse(document)).toEqual(document);
    const { security, components } = document;
    expect(security.flatMap((each) => Object.keys(each as object))).toEqual(Object.keys(components.securitySchemes));
  });

  it('describes every route of customers that is served, and no other', () => {
    const documented = operations().map(({ path, method }) => `${method.toUpperCase()} ${path}`);
    const served = api.routes
      .filter((route) => / \/(customers|keys)\b/.test(route) && !route.endsWith('/mcp'))
      .map((route) => route.replace(/\/?\*$/, '/{path}').replace(/:(\w+)/g, '{$1}'));
    const isImplied = (route: string) => route.startsWith('HEAD ') && !documented.includes(route);
    expect(served.filter((route) => !isImplied(route)).toSorted()).toEqual(documented.toSorted());
  });

  it('names each operation once, and each parameter of its path', () => {
    const ids = operations().map(({ operationId }) => operationId);
    expect(ids.toSorted()).toEqual([...new Set(ids)].toSorted());
    for (const { path, parameters } of operations()) {
      const inPath = parameters.filter((each) => each.in === 'path');
      expect(inPath.map(({ name }) => `{${name}}`)).toEqual(path.match(/\{\w+\}/g) ?? []);
      expect(inPath.every(({ required }) => required)).toBe(true);
    }
  });

  it('holds schemas of JSON Schema 2020-12, and no reference that leads nowhere', () => {
    const ajv = new Ajv2020({ strict: true, strictTypes: false, strictTuples: false, strictRequired: false });
    addFormats.default(ajv);
    for (const [name, schema] of Object.entries(document.components.schemas))
      ajv.addSchema(schema, `#/components/schemas/${name}`);
    for (const name of Object.keys(document.components.schemas))
      expect(() => ajv.compile({ $ref: `#/components/schemas/${name}` }), name).not.toThrow();
    const references = JSON.stringify(document).match(/"\$ref":"[^"]*"/g) ?? [];
    const known = Object.keys(document.components.schemas).map((name) => `"$ref":"#/components/schemas/${name}"`);
    expect(references.filter((reference) => !known.includes(reference))).toEqual([]);
    for (const { path, parameters, responses } of operations()) {
      const schemas = [
        ...parameters.map(({ schema }) => schema),
        ...Object.values(responses).flatMap(({ content: each = {} }) =>
          Object.values(each).map(({ schema = {} }) => schema),
        ),
      ];
      for (const schema of schemas) expect(ajv.validateSchema(schema), path).toBe(true);
    }
  });

  it('tells of secrets, paths of the host and its own keys nothing', () => {
    const json = JSON.stringify(document);
    for (const secret of [api.key, api.folder, 'msb_0']) expect(json).not.toContain(secret);
  });
});
