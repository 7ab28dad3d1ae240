import type { SkillCode } from '../codegen/skill-module.ts';

/** The instructions of a skill that was saved: how a program imports it. */
export function skillUsage(name: string, { exports }: SkillCode): string {
  const names = exports.filter((each) => each !== 'default' && IDENTIFIER.test(each));
  const clause = [
    ...(exports.includes('default') ? ['value'] : []),
    ...(names.length > 0 ? [`{ ${names.join(', ')} }`] : []),
  ];
  const call = exports.length === 1 && exports[0] === 'run' ? '\n\nconst value = await run();' : '';
  return `# ${name}\n\n\`\`\`ts\nimport ${clause.join(', ') || '*  as skill'} from 'skills/${name}';${call}\n\`\`\``;
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;
