import { type Argument, LaunchPlan } from '../../protocol/launch-plan.ts';
import type { Step } from './exec-failure.ts';

/** A plan whose calls are known by the step of the set-up that they belong to. */
export class StepPlan {
  readonly plan: LaunchPlan = new LaunchPlan();
  readonly #steps: Step[] = [];

  add(step: Step, number: number, args: readonly Argument[], tolerated = 0): void {
    this.plan.call(this.#steps.length, number, args, tolerated);
    this.#steps.push(step);
  }

  /** The step that a report names. */
  step(tag: number): Step | undefined {
    return this.#steps[tag];
  }
}
