import type { API, Diagnostic } from 'typescript/unstable/async';
import { messageOf } from '../core/errors.ts';
import type { ProgramError } from '../core/execution.ts';
import type { GeneratedProgram } from './program.ts';
import type { ServerModules } from './servers-plugin.ts';
import { typeErrors } from './type-errors.ts';
import { PROGRAM, PROJECT, TypeFiles } from './type-files.ts';

export type TypeCheck =
  | { readonly checked: true; readonly error: ProgramError | null }
  /** The compiler could not say: the program is neither right nor wrong. */
  | { readonly checked: false; readonly reason: string };

/** What a check may take; types can be written that never come to an end. */
const CHECK_TIMEOUT_MS = 10_000;

/**
 * Checks programs against the types of the tools that they call, before anything runs.
 *
 * One compiler stays warm, in a process of its own, and reads nothing but what it is given: the first check takes some
 * tenths of a second, later ones a few milliseconds. Checks take turns. Dispose it to end the compiler.
 */
export class TypeChecker implements AsyncDisposable {
  readonly #modules: ServerModules;
  #compiler: Promise<Compiler> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(modules: ServerModules) {
    this.#modules = modules;
  }

  /** Never rejects. */
  check(program: GeneratedProgram): Promise<TypeCheck> {
    const result = this.#turn.then(() => this.#check(program));
    this.#turn = result;
    return result;
  }

  /** Checks that are under way, and later ones, give no answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#endCompiler();
  }

  async #endCompiler(): Promise<void> {
    const compiler = this.#compiler;
    this.#compiler = undefined;
    await compiler?.then(
      (started) => started.end(),
      () => {},
    );
  }

  async #check(program: GeneratedProgram): Promise<TypeCheck> {
    if (this.#isClosed) return { checked: false, reason: 'The program was not type-checked: this Workcell is closed' };
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => timeout.reject(new Error(`its types were not understood in ${CHECK_TIMEOUT_MS / 1000} s`)),
      CHECK_TIMEOUT_MS,
    );
    try {
      this.#compiler ??= Compiler.start();
      const compiler = await this.#compiler;
      const diagnosing = compiler.diagnose(program.module, this.#modules);
      diagnosing.catch(() => {});
      const diagnostics = await Promise.race([diagnosing, timeout.promise]);
      return { checked: true, error: typeErrors(diagnostics, program) ?? null };
    } catch (error) {
      // Whatever state it is in, the next check starts another.
      await this.#endCompiler();
      return { checked: false, reason: `The program was not type-checked: ${messageOf(error)}` };
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The compiler's process, with one project whose program changes. */
class Compiler {
  readonly #api: API;
  readonly #files: TypeFiles;
  #isOpen = false;

  /** Rejects when the compiler is not installed. */
  static async start(): Promise<Compiler> {
    const { API } = await import('typescript/unstable/async');
    const files = new TypeFiles();
    return new Compiler(new API({ cwd: '/', fs: files }), files);
  }

  private constructor(api: API, files: TypeFiles) {
    this.#api = api;
    this.#files = files;
  }

  async diagnose(program: string, modules: ServerModules): Promise<readonly Diagnostic[]> {
    const fileChanges = await this.#files.update(program, modules);
    const snapshot = await this.#api.updateSnapshot(this.#isOpen ? { fileChanges } : { openProjects: [PROJECT] });
    try {
      this.#isOpen = true;
      return (await snapshot.getProject(PROJECT)?.program.getSemanticDiagnostics(PROGRAM)) ?? [];
    } finally {
      await snapshot.dispose();
    }
  }

  end(): void {
    // The package's own close leaves a compiler that is busy to its work.
    this.#api['client']['process']?.kill('SIGKILL');
    // What it has open cannot be closed in order any more.
    void this.#api.close().catch(() => {});
  }
}
