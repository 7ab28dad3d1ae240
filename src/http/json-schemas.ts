import { z } from 'zod';

export type JsonSchemaObject = Readonly<Record<string, unknown>>;

/** Makes JSON Schemas of zod schemas for one document; those that have an id become components of it. */
export class JsonSchemas {
  readonly #components = new Map<string, JsonSchemaObject>();

  /** What stands in the document for a schema. `input`: as a client may send it, with fields that have defaults left out. */
  of(schema: z.ZodType, io: 'input' | 'output'): JsonSchemaObject {
    // Within another, so that one that has an id is referred to as well.
    const { properties, $defs = {} } = z.toJSONSchema(z.object({ schema }), { io, unrepresentable: 'any' });
    for (const [name, definition] of Object.entries($defs)) this.#components.set(name, refer(definition));
    return refer(properties?.['schema'] ?? {});
  }

  /** All components that were referred to, by name. */
  components(): Readonly<Record<string, JsonSchemaObject>> {
    return Object.fromEntries([...this.#components].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** The same schema with references to the components of the document, and without what only zod needs. */
function refer(schema: unknown): JsonSchemaObject {
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) => {
      if (key === '$ref' && typeof value === 'string') return value.replace('#/$defs/', '#/components/schemas/');
      return key === '$schema' || (key === 'id' && typeof value === 'string') ? undefined : value;
    }),
  ) as JsonSchemaObject;
}
