import type { SkillStore } from '../catalog/skill-store.ts';
import type { WorkcellError } from '../core/errors.ts';
import type { CustomerId } from '../core/ids.ts';
import type { ProgramExecutor } from '../executor/program-executor.ts';
import type { ExecutionContext } from './execution-context.ts';
import type { CustomerQuotas } from './quotas.ts';

/** What all customers share. */
export interface CustomerContext extends Omit<ExecutionContext, 'skills' | 'history' | 'approvals'> {
  readonly sharedSkills: SkillStore;
  /** What runs programs, if it was needed before. */
  readonly startedExecutor: () => Promise<ProgramExecutor | undefined>;
  readonly onToolsChanged: (listener: () => void) => () => void;
  readonly quotas: CustomerQuotas;
  /** Told why what tools were used for could not be read or written: nothing fails for that. */
  readonly onUsageProblem: (customer: CustomerId, error: WorkcellError) => void;
}
