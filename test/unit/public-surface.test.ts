import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import * as workcell from '../../src/index.ts';

it('the package exports these values and no others', () => {
  expect(Object.keys(workcell).sort()).toEqual([
    'CodeGenerator',
    'DEFAULT_LIMITS',
    'ERRORS',
    'QemuDriver',
    'SandboxExecutor',
    'SandboxServer',
    'Secret',
    'ToolCatalog',
    'ToolSelector',
    'WorkcellError',
    'createWorkcell',
    'isWorkcellError',
    'loadConfig',
  ]);
});

it('the package exports these types and no others', async () => {
  const source = await readFile(new URL('../../src/index.ts', import.meta.url), 'utf8');
  const types = [...source.matchAll(/^export (type )?\{([^}]+)\}/gm)].flatMap(([, all, names = '']) =>
    names
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && (all !== undefined || name.startsWith('type ')))
      .map((name) => name.replace(/^type /, '')),
  );
  expect(types.sort()).toEqual(
    [
      'ApprovalDecision',
      'CustomerId',
      'DecidedApproval',
      'KeyInfo',
      'KeyStore',
      'NewKey',
      'QuotaUsage',
      'Detail',
      'ToolHit',
      'ToolSearchOptions',
      'ToolSearchResult',
      'DriverProbe',
      'ErrorCode',
      'ExecuteProgram',
      'ExecuteRequest',
      'ExecutionEvent',
      'ExecutionId',
      'ExecutionLimits',
      'ExecutionResult',
      'ExecutionState',
      'ExecutionStatus',
      'ExecutionSummary',
      'HistoryEvent',
      'PendingApproval',
      'RecordedResult',
      'StartedExecution',
      'WatchOptions',
      'ExecutionTiming',
      'GeneratedProgram',
      'Customer',
      'PrunedSession',
      'PruneReport',
      'SessionPage',
      'SessionSummary',
      'ExportSessionOptions',
      'ImportedSession',
      'ImportSessionOptions',
      'Isolation',
      'JsonSchema',
      'Language',
      'LoadedConfig',
      'NoMatch',
      'ProgramError',
      'ProgramExecutor',
      'ProgramRun',
      'QemuDriverOptions',
      'SandboxDriver',
      'SandboxExecutorOptions',
      'SandboxInfo',
      'SandboxServerOptions',
      'SelectedTool',
      'Selection',
      'SessionId',
      'SessionView',
      'ReadySkill',
      'SaveSkill',
      'Skill',
      'SkillDetails',
      'SkillHit',
      'SkillList',
      'SkillScope',
      'Skills',
      'StaleTool',
      'SyncReport',
      'ToolCallRecord',
      'ToolDescriptor',
      'Workcell',
      'WorkcellOptions',
      'Workspace',
    ].sort(),
  );
});
