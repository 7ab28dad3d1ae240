/** Workcell: runs code that language models write, for many customers, in microVMs on hardware you own. */

// The four parts by themselves.
export { ToolCatalog } from './catalog/tool-catalog.ts';
export { CodeGenerator, type GeneratedProgram } from './codegen/program.ts';
// Configuration, results, errors.
export { type LoadedConfig, loadConfig } from './config/load-config.ts';
export type { ApprovalDecision } from './core/approval.ts';
export { ERRORS, type ErrorCode, isWorkcellError, WorkcellError } from './core/errors.ts';
export type {
  ExecutionEvent,
  ExecutionResult,
  ExecutionState,
  ExecutionStatus,
  ExecutionSummary,
  ExecutionTiming,
  HistoryEvent,
  Isolation,
  Language,
  PendingApproval,
  ProgramError,
  RecordedResult,
  SandboxInfo,
  ToolCallRecord,
} from './core/execution.ts';
export type { CustomerId, ExecutionId, SessionId } from './core/ids.ts';
export { DEFAULT_LIMITS, type ExecutionLimits } from './core/limits.ts';
export type { NoMatch, SelectedTool, Selection } from './core/selection.ts';
export type { SkillScope, StaleTool } from './core/skill.ts';
export type { JsonSchema, ToolDescriptor } from './core/tool.ts';
export type { ExecuteProgram, ProgramExecutor, ProgramRun } from './executor/program-executor.ts';
export { SandboxExecutor, type SandboxExecutorOptions } from './executor/sandbox-executor.ts';
export type { DriverProbe, SandboxDriver } from './sandbox/driver.ts';
export { QemuDriver, type QemuDriverOptions } from './sandbox/drivers/qemu/driver.ts';
export type { KeyInfo } from './sandbox/key-file.ts';
export type { KeyStore } from './sandbox/key-store.ts';
export type { NewKey } from './sandbox/new-key.ts';
// A Microsandbox server of one's own.
export { SandboxServer, type SandboxServerOptions } from './sandbox/server.ts';
export { ToolSelector } from './selector/tool-selector.ts';
export type { PrunedSession, PruneReport } from './sessions/prune-sessions.ts';
export type { SessionPage, SessionSummary } from './sessions/session-summary.ts';
export type { SessionView } from './sessions/session-view.ts';
export { Secret } from './util/secret.ts';
export type { Customer } from './workcell/customer.ts';
export type { DecidedApproval } from './workcell/customer-approvals.ts';
export type { QuotaUsage } from './workcell/customer-quota.ts';
export type { ExecuteRequest } from './workcell/execute-request.ts';
export type { StartedExecution } from './workcell/executions.ts';
export type { ExportSessionOptions } from './workcell/export-session.ts';
export type { ImportedSession, ImportSessionOptions } from './workcell/import-session.ts';
export type { Detail, ToolHit, ToolSearchOptions, ToolSearchResult } from './workcell/search-tools.ts';
export type { ReadySkill, Skill } from './workcell/skill-view.ts';
export type { SaveSkill, SkillDetails, SkillHit, SkillList, Skills } from './workcell/skills.ts';
export type { SyncReport } from './workcell/sync-server.ts';
export type { WatchOptions } from './workcell/watch-execution.ts';
// Everything together.
export { createWorkcell, type Workcell, type WorkcellOptions } from './workcell/workcell.ts';
export type { Workspace } from './workspaces/workspace-store.ts';
