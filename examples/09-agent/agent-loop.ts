import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';

/** What a model says: a tool that it wants called, or, in the end, its answer. */
type Model = Generator<ToolCall, string, Told>;

interface ToolCall {
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** What a model is told of a call. */
interface Told {
  readonly text: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly isError: boolean;
}

/** What the agent did, for whoever watches. */
export interface Step extends ToolCall, Told {}

/** The loop of any agent: what the model wants is called, what comes back is told to the model, until it has an answer. */
export async function runAgent(client: Client, model: Model, onStep: (step: Step) => void): Promise<string> {
  let said = model.next();
  while (said.done !== true) {
    const call = said.value;
    const result = (await client.callTool({ name: call.tool, arguments: call.arguments })) as CallToolResult;
    const text = result.content.map((block) => (block.type === 'text' ? block.text : `[${block.type}]`)).join('\n');
    const told = { text, data: result.structuredContent ?? {}, isError: result.isError === true };
    onStep({ ...call, ...told });
    said = model.next(told);
  }
  return said.value;
}

/**
 * Plays a model that is asked which of two cities is warmer: it looks for a tool, guesses the name of an argument, is told by the
 * type check that it is wrong, reads the right one out of the definition, and answers with what the program gives.
 */
export function* scriptedModel(cities: readonly string[]): Model {
  const found = yield { tool: 'search_tools', arguments: { queries: ['the weather of a city as structured content'] } };
  const [, name = '', from = ''] = /import \{ (\w+) \} from '([^']+)'/.exec(found.text) ?? [];

  const program = (argument: string) =>
    [
      `import { ${name} } from '${from}';`,
      `const cities = ${JSON.stringify(cities)} as const;`,
      `const weather = await Promise.all(cities.map((city) => ${name}({ ${argument}: city })));`,
      'const [warmest] = cities.map((city, i) => ({ city, ...weather[i]! })).sort((a, b) => b.temperature - a.temperature);',
      "console.log(cities.length, 'cities');",
      'return { city: warmest!.city, temperature: warmest!.temperature };',
    ].join('\n');
  const task = 'find out which city is warmer';
  const execute = (code: string) => ({ tool: 'execute_code', arguments: { code, task, session: 'weather' } });

  let ran = yield execute(program('city'));
  if (ran.isError) {
    const [, right = ''] = /\b(\w+): 'New York'/.exec(found.text) ?? [];
    ran = yield execute(program(right));
  }
  const { city, temperature } = (ran.data['value'] ?? {}) as { readonly city?: string; readonly temperature?: number };
  return `${city} is the warmest, with ${temperature} degrees`;
}
