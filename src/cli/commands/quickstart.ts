import { Command } from 'commander';
import type { ExitCode } from '../../core/errors.ts';
import { setUp } from '../../workcell/setup.ts';
import { createWorkcell } from '../../workcell/workcell.ts';
import { onInterrupt } from '../interrupt.ts';
import { loadCliConfig } from '../open-cell.ts';
import { bold, print, say, sayProgress } from '../output.ts';
import { renderResult } from '../render-result.ts';

const TASK = 'create entities in the knowledge graph, then write a file about them';
const TOOLS = [
  'memory.create_entities',
  'memory.search_nodes',
  'memory.delete_entities',
  'filesystem.write_file',
  'filesystem.read_text_file',
];
const PROGRAM = `const entities = [
  { name: 'quickstart-ada', entityType: 'person', observations: ['wrote the first program'] },
  { name: 'quickstart-alan', entityType: 'person', observations: ['asked whether machines think'] },
];
await createEntities({ entities });
const found = await searchNodes({ query: 'quickstart-' }) as { entities: { name: string; observations: string[] }[] };

const lines = found.entities.map(({ name, observations }) => \`\${name}: \${observations.join('; ')}\`);
const path = 'quickstart.txt';
await writeFile({ path, content: lines.join('\\n') });
console.log('written through two MCP servers:', lines.length, 'lines');

await deleteEntities({ entityNames: entities.map(({ name }) => name) });
return { kernel: (await import('node:os')).release(), text: (await readTextFile({ path })) };
`;

export function quickstartCommand(done: (code: ExitCode) => void): Command {
  return new Command('quickstart')
    .description('set everything up, then run a program that calls two MCP servers from a sandbox')
    .action(async (_options: object, command: Command) => {
      const signal = onInterrupt();
      const loaded = await loadCliConfig(command);
      await setUp(loaded.config, { confirm: async () => true, onProgress: sayProgress });
      await using cell = await createWorkcell({ config: loaded, onProgress: sayProgress });
      sayProgress(`running a program in a sandbox: ${TASK}`);
      say(`\n${bold('program')}\n${PROGRAM.trimEnd().replace(/^/gm, '  ')}\n\n${bold('output')}`);
      const result = await cell.customer('quickstart').execute({
        task: TASK,
        code: PROGRAM,
        tools: TOOLS,
        signal,
        onEvent: (event) => {
          if (event.type === 'stdout') process.stdout.write(`  ${event.text}`);
        },
      });
      if (result.status === 'completed') {
        say(`\n${bold('value')}`);
        print(JSON.stringify(result.value, null, 2).replace(/^/gm, '  '));
      }
      say(renderResult(result));
      if (result.status !== 'completed') done(1);
    });
}
