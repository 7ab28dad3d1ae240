/** A JSON Schema (2020-12 or draft-07) as upstream servers send it. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** Hints of the MCP specification about what a tool does; a server's own claim, not a guarantee. */
export interface ToolAnnotations {
  readonly title?: string;
  readonly readOnlyHint?: boolean;
  readonly destructiveHint?: boolean;
  readonly idempotentHint?: boolean;
  readonly openWorldHint?: boolean;
}

/**
 * One tool as the catalog knows it.
 *
 * `upstream` tools belong to an MCP server and are called through the broker; `module` tools are plain code that runs
 * inside the guest.
 */
export interface ToolDescriptor {
  readonly kind: 'upstream' | 'module';
  /** Name of the server: the folder under `servers/`. */
  readonly server: string;
  /** The tool's original name, as the server spells it. */
  readonly tool: string;
  /** The TypeScript identifier and file name of its wrapper, unique within the server. */
  readonly identifier: string;
  /** The Python function and module name of its wrapper, unique within the server; absent for a tool without one. */
  readonly pythonIdentifier?: string;
  readonly description: string;
  readonly inputSchema: JsonSchema;
  readonly outputSchema?: JsonSchema;
  /** The structure of the results so far, where the server promises none; never a value. */
  readonly observedOutput?: JsonSchema;
  readonly annotations?: ToolAnnotations;
  /** The MCP request that performs it; default `tools/call`. */
  readonly method?: ToolMethod;
}

/** How a server's resources and prompts are reached as tools, besides its own. */
export const HELPER_METHODS = ['resources/list', 'resources/read', 'prompts/list', 'prompts/get'] as const;
export type ToolMethod = (typeof HELPER_METHODS)[number];

/** `server.tool`: how a tool is named on the command line, in logs and in errors. */
export function toolName(tool: { readonly server: string; readonly tool: string }): string {
  return `${tool.server}.${tool.tool}`;
}

/** Whether a repeated call has no further effect, as far as the tool's server says. */
export function isIdempotent({ annotations }: Pick<ToolDescriptor, 'annotations'>): boolean {
  return annotations?.readOnlyHint === true || annotations?.idempotentHint === true;
}
