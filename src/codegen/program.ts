import type { ToolDescriptor } from '../core/tool.ts';
import { bodyModule } from './body-module.ts';
import { toolImports } from './tool-imports.ts';

/** How people see the program's file named. */
export const PROGRAM_FILE = 'program.ts';

/** A program's value is what its body returns. */
const PROGRAM = { open: 'export default await (async () => {', close: '})();' };

/** A program that is ready to be transpiled. */
export interface GeneratedProgram {
  /** What is shown to people: the generated imports, then the body as its author wrote it. */
  readonly source: string;
  /** The TypeScript module that runs. Its default export is the program's value. */
  readonly module: string;
  /** The body's line, from 1, that each line of `module` comes from; 0 for lines that nobody wrote. */
  readonly bodyLines: readonly number[];
}

export interface ProgramParts {
  /** The tools that the program may import; an import is generated for each that the body does not import itself. */
  readonly tools: readonly ToolDescriptor[];
  readonly body: string;
}

/** Puts programs together. */
export class CodeGenerator {
  /**
   * The program that `body` becomes when the tools are in scope.
   *
   * A body that exports a value is a module as it stands. Any other becomes the body of an async function, so that it may
   * `return` its value at the top level; what it imports is lifted out, and every line keeps its number.
   */
  async compose({ tools, body }: ProgramParts): Promise<GeneratedProgram> {
    const imports = toolImports(tools, body);
    const source = imports.length === 0 ? body : `${imports.join('\n')}\n\n${body}`;
    const lines = [...imports.map((text) => ({ text, line: 0 })), ...bodyModule(body, PROGRAM)];
    return {
      source,
      module: lines.map(({ text }) => text).join('\n'),
      bodyLines: lines.map(({ line }) => line),
    };
  }
}
