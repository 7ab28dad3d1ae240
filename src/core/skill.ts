/** Whose a skill is: one customer's, or everybody's. A customer's own goes before a shared one of the same name. */
export type SkillScope = 'own' | 'shared';

/** A tool that a skill was saved with and that is not what it was. */
export interface StaleTool {
  readonly server: string;
  readonly tool: string;
  /** `changed`: its name, description or schema; `gone`: there is no such tool any more. */
  readonly change: 'changed' | 'gone';
}
