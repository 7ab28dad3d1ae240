import type { z } from 'zod';
import { PROBLEM_TYPE } from '../core/problem.ts';
import { isRawBody, type ResponseDefinition, type Route } from './define-route.ts';
import { type JsonSchemaObject, JsonSchemas } from './json-schemas.ts';
import { problemSchema } from './schemas/problem.ts';

export interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly 'x-scope': string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, ResponseObject>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchemaObject;
}

export interface ResponseObject {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly description?: string; readonly schema: JsonSchemaObject }>>;
  readonly content?: Content;
}

export type Content = Readonly<Record<string, { readonly schema?: JsonSchemaObject }>>;

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly security: readonly unknown[];
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchemaObject>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
}

/** The OpenAPI 3.1 document of these routes. */
export function openApiDocument(routes: readonly Route[], version: string): OpenApiDocument {
  const schemas = new JsonSchemas();
  const paths: Record<string, Record<string, Operation>> = {};
  for (const route of routes) {
    const path = documentedPath(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, schemas) };
  }
  const tags = [...new Set(routes.map(tagOf))].map((name) => ({ name }));
  return {
    openapi: '3.1.1',
    info: { title: 'Workcell', version, description: ABOUT },
    security: [{ key: [] }],
    tags,
    paths,
    components: {
      schemas: schemas.components(),
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer', description: 'A key of `workcell key create`, such as msb_…' },
      },
    },
  };
}

const ABOUT =
  'Runs programs for customers, and keeps their sessions and files. Whatever is not yours is answered as what does not exist. ' +
  'Failures are application/problem+json; every answer has an X-Request-Id, which is the one of the request where that has a well-formed one.';

/** `/files/{path*}` has no other spelling in OpenAPI than `/files/{path}`. */
function documentedPath(path: string): string {
  return path.replace('*}', '}');
}

/** The resource that a route is about: the last word of its path that is one of the first two. */
function tagOf({ path }: Route): string {
  const [, ...rest] = path.split('/').filter((part) => part !== '' && !part.startsWith('{'));
  return rest[0] ?? path.split('/')[1] ?? '';
}

function operationOf(route: Route, schemas: JsonSchemas): Operation {
  const { summary, description, scope, responses, body } = route;
  return {
    operationId: operationIdOf(route),
    tags: [tagOf(route)],
    summary,
    ...(description === undefined ? {} : { description }),
    'x-scope': scope,
    parameters: parametersOf(route, schemas),
    ...(body === undefined ? {} : { requestBody: requestBodyOf(body, schemas) }),
    responses: {
      ...Object.fromEntries(
        Object.entries(responses).map(([status, definition]) => [
          status,
          responseOf(Number(status) >= 400 ? { ...FAILURE, ...definition } : definition, schemas),
        ]),
      ),
      default: responseOf(FAILURE, schemas),
    },
  };
}

const FAILURE: ResponseDefinition = { description: 'A failure', types: { [PROBLEM_TYPE]: problemSchema } };

/** `getCustomersExecutions`, `getCustomersExecutionsByExecutionId`. */
function operationIdOf({ method, path }: Route): string {
  const words = path
    .replace('/{customer}', '')
    .split('/')
    .filter((part) => part !== '')
    .map((part) => (part.startsWith('{') ? `by-${part.replace(/[{}*]/g, '')}` : part));
  const isOne = path.endsWith('/{customer}') ? ['by-customer'] : [];
  return [method.toLowerCase(), ...words, ...isOne]
    .join('-')
    .replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function parametersOf({ path, params, query, headers }: Route, schemas: JsonSchemas): Parameter[] {
  const declared = params === undefined ? {} : fieldsOf(params, schemas);
  const inPath = [...path.matchAll(/\{(\w+)\*?\}/g)].map(([, name = '']) => {
    const field = declared[name];
    return toParameter(name, 'path', { required: true, schema: field?.schema ?? CUSTOMER[name] ?? { type: 'string' } });
  });
  return [
    ...inPath,
    ...Object.entries(query === undefined ? {} : fieldsOf(query, schemas)).map(([name, field]) =>
      toParameter(name, 'query', field),
    ),
    ...Object.entries(headers === undefined ? {} : fieldsOf(headers, schemas)).map(([name, field]) =>
      toParameter(name, 'header', field),
    ),
  ];
}

const CUSTOMER: Readonly<Record<string, JsonSchemaObject>> = {
  customer: {
    type: 'string',
    description: 'Id of the customer; keys of an organisation may leave out the part before the dot, which is its name',
  },
};

interface Field {
  readonly required: boolean;
  readonly schema: JsonSchemaObject;
}

/** The fields of an object's schema. */
function fieldsOf(schema: z.ZodType, schemas: JsonSchemas): Readonly<Record<string, Field>> {
  const { properties = {}, required = [] } = schemas.of(schema, 'input') as {
    readonly properties?: Readonly<Record<string, JsonSchemaObject>>;
    readonly required?: readonly string[];
  };
  return Object.fromEntries(
    Object.entries(properties).map(([name, field]) => [name, { schema: field, required: required.includes(name) }]),
  );
}

function toParameter(name: string, place: Parameter['in'], { required, schema }: Field): Parameter {
  const { description, ...rest } = schema;
  return {
    name,
    in: place,
    required,
    ...(typeof description === 'string' ? { description } : {}),
    schema: rest,
  };
}

function requestBodyOf(body: NonNullable<Route['body']>, schemas: JsonSchemas): NonNullable<Operation['requestBody']> {
  if (isRawBody(body)) return { required: true, content: Object.fromEntries(body.types.map((type) => [type, {}])) };
  return {
    required: !body.safeParse(undefined).success,
    content: { 'application/json': { schema: schemas.of(body, 'input') } },
  };
}

function responseOf(
  { description, schema, types = {}, headers = {} }: ResponseDefinition,
  schemas: JsonSchemas,
): ResponseObject {
  const content = [
    ...(schema === undefined ? [] : [['application/json', { schema: schemas.of(schema, 'output') }] as const]),
    ...Object.entries(types).map(
      ([type, each]) => [type, each === null ? {} : { schema: schemas.of(each, 'output') }] as const,
    ),
  ];
  const described = Object.entries({ 'X-Request-Id': 'Id of this request', ...headers }).map(([name, text]) => [
    name,
    { description: text, schema: { type: 'string' } },
  ]);
  return {
    description,
    headers: Object.fromEntries(described),
    ...(content.length === 0 ? {} : { content: Object.fromEntries(content) }),
  };
}
