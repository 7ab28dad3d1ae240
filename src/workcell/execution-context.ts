import type { SkillShelf } from '../catalog/skill-shelf.ts';
import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { CodeGenerator } from '../codegen/program.ts';
import type { TypeChecker } from '../codegen/type-checker.ts';
import type { Config } from '../config/config.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { ToolSelector } from '../selector/tool-selector.ts';
import type { UpstreamHub } from '../upstream/upstream-hub.ts';
import type { CustomerApprovals } from './customer-approvals.ts';
import type { LearnedResults } from './learned-results.ts';
import type { Observers } from './observed-execution.ts';

/** What executions share. */
export interface ExecutionContext extends Observers {
  readonly config: Config;
  readonly catalog: ToolCatalog;
  readonly selector: ToolSelector;
  readonly generator: CodeGenerator;
  readonly typeChecker: TypeChecker;
  readonly hub: UpstreamHub;
  /** Those that this customer sees. */
  readonly skills: SkillShelf;
  /** Finds tools by what they were used for by this customer; absent when nothing is remembered. */
  readonly history?: Retriever | undefined;
  /** The servers that cannot be called at the moment, and why. */
  readonly unavailable: ReadonlyMap<string, string>;
  readonly approvals: Pick<CustomerApprovals, 'openGate'>;
  readonly executor: () => Promise<ProgramExecutor>;
  /** Told of the structure of the results that the program's calls gave; never rejects. */
  readonly learn: (results: LearnedResults) => Promise<void>;
}
