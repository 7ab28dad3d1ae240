import { Command } from 'commander';
import { toolName } from '../../core/tool.ts';
import { printable } from '../../util/printable.ts';
import type { ReadySkill, Skill } from '../../workcell/skill-view.ts';
import type { SkillDetails, Skills } from '../../workcell/skills.ts';
import { staleText } from '../../workcell/stale-text.ts';
import type { Workcell } from '../../workcell/workcell.ts';
import { openCell } from '../open-cell.ts';
import { parseCount } from '../option-values.ts';
import { print, printJson, say, table } from '../output.ts';

interface Whose {
  readonly customer: string;
  readonly shared?: true;
  readonly json?: true;
}

interface SaveOptions extends Whose {
  readonly fromExecution: string;
  readonly description?: string;
  readonly force?: true;
}

export function skillCommand(): Command {
  const skill = new Command('skill').description('saved code that programs import as skills/<name>');
  whose(skill.command('save <name>'))
    .description('make a skill of the program of an execution that completed')
    .requiredOption(
      '--from-execution <id>',
      'which execution, as `workcell run --json` and `workcell session show` name it',
    )
    .option('--description <text>', 'what it does and when to use it (default: the task of the execution)')
    .option('--force', 'replace a skill of that name')
    .addHelpText(
      'after',
      '\nExample:\n  workcell skill save split-bill --from-execution exe_… --description "Splits a bill among people"',
    )
    .action(async (name: string, options: SaveOptions, command: Command) => {
      await using cell = await openCell(command);
      const { fromExecution: execution, description, force, customer } = options;
      const request = { name, execution, description, force };
      const saved = await (options.shared === true
        ? cell.skills.save({ ...request, customer })
        : cell.customer(customer).skills.save(request));
      if (options.json === true) return printJson(saved);
      print(`skills/${saved.name}`);
      say(`uses ${saved.tools.map((tool) => printable(toolName(tool))).join(', ') || 'no tools'}`);
    });
  whose(skill.command('list'))
    .description("a customer's own skills and those that all share")
    .action(async (options: Whose, command: Command) => {
      await using cell = await openCell(command);
      const list = await skillsOf(cell, options).list();
      if (options.json === true) return printJson(list);
      print(table(list.skills.map(row)));
      if (list.truncated) say('There are more than 1,000; remove some to see the others');
    });
  whose(skill.command('show <name>'))
    .description('a skill with its instructions and its code')
    .action(async (name: string, options: Whose, command: Command) => {
      await using cell = await openCell(command);
      const details = await skillsOf(cell, options).get(name);
      if (options.json === true) printJson(details);
      else print(render(details));
    });
  whose(skill.command('search <query>'))
    .description('the skills that fit a description, best first')
    .option('--limit <n>', 'how many at most', parseCount, 10)
    .action(async (query: string, options: Whose & { limit: number }, command: Command) => {
      await using cell = await openCell(command);
      const hits = await skillsOf(cell, options).search(query, { limit: options.limit });
      if (options.json === true) printJson(hits);
      else if (hits.length === 0) say('No skill fits; see `workcell skill list`');
      else
        print(
          table(hits.map((hit) => [hit.score.toFixed(2), hit.skill.name, about(hit.skill), hit.reasons.join('; ')])),
        );
    });
  whose(skill.command('remove <name>'))
    .description('take a skill away')
    .action(async (name: string, options: Whose, command: Command) => {
      await using cell = await openCell(command);
      await skillsOf(cell, options).remove(name);
      if (options.json === true) printJson({ removed: name });
    });
  return skill;
}

function whose(command: Command): Command {
  return command
    .option('--customer <id>', 'whose', 'default')
    .option('--shared', 'of those that all customers share')
    .option('--json', 'print the outcome as JSON');
}

function skillsOf(cell: Workcell, { shared, customer }: Whose): Pick<Skills, 'list' | 'get' | 'search' | 'remove'> {
  return shared === true ? cell.skills : cell.customer(customer).skills;
}

function row(skill: Skill): string[] {
  if (skill.status === 'broken') return [skill.name, skill.scope, 'broken', skill.problem];
  return [skill.name, skill.scope, skill.languages.join(', ') || 'no code', about(skill)];
}

function about({ description, stale }: ReadySkill): string {
  const line = description.length > 100 ? `${description.slice(0, 99)}…` : description;
  return stale.length === 0 ? line : `${line} (${staleText(stale)})`;
}

function render({ name, scope, description, execution, tools, stale, instructions, code }: SkillDetails): string {
  const lines = [
    `${name} (${scope}): ${description}`,
    ...(execution === null ? [] : [`saved from ${printable(execution)}`]),
    ...(tools.length === 0 ? [] : [`uses ${tools.map((tool) => printable(toolName(tool))).join(', ')}`]),
    ...(stale.length === 0 ? [] : [staleText(stale)]),
    '',
    printable(instructions),
    ...code.flatMap(({ path, text }) => ['', `--- ${printable(path)}`, printable(text).trimEnd()]),
  ];
  return lines.join('\n');
}
