// Generated from the OpenAPI document by scripts/generate-client.ts.

/** What each operation of the API takes and answers. */
export interface Operations {
  'GET /customers': {
    params: undefined;
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: { readonly items: readonly Customer[]; readonly nextCursor: string | null };
  };
  'GET /customers/{customer}': {
    params: { readonly customer: string };
    query: undefined;
    body: undefined;
    answer: Customer;
  };
  'PUT /customers/{customer}': {
    params: { readonly customer: string };
    query: undefined;
    body: undefined;
    answer: Customer;
  };
  'POST /customers/{customer}/executions': {
    params: { readonly customer: string };
    query: undefined;
    body: ExecuteRequest;
    answer: RecordedResult | ExecutionSummary;
  };
  'GET /customers/{customer}/executions': {
    params: { readonly customer: string };
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: { readonly items: readonly ListedExecution[]; readonly nextCursor: string | null };
  };
  'GET /customers/{customer}/executions/{executionId}': {
    params: { readonly customer: string; readonly executionId: string };
    query: { readonly after?: number | undefined; readonly follow?: 'true' | 'false' | undefined };
    body: undefined;
    answer: ExecutionSummary;
  };
  'DELETE /customers/{customer}/executions/{executionId}': {
    params: { readonly customer: string; readonly executionId: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'POST /customers/{customer}/executions/{executionId}/resume': {
    params: { readonly customer: string; readonly executionId: string };
    query: undefined;
    body: { readonly replay?: boolean | undefined };
    answer: RecordedResult | ExecutionSummary;
  };
  'GET /customers/{customer}/approvals': {
    params: { readonly customer: string };
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: { readonly items: readonly PendingApproval[]; readonly nextCursor: string | null };
  };
  'POST /customers/{customer}/approvals/{approvalId}': {
    params: { readonly customer: string; readonly approvalId: string };
    query: undefined;
    body: { readonly decision: 'approve' | 'reject'; readonly reason?: string | undefined };
    answer: DecidedApproval;
  };
  'POST /customers/{customer}/sessions': {
    params: { readonly customer: string };
    query: undefined;
    body: { readonly sessionId?: string | undefined };
    answer: { readonly sessionId: string };
  };
  'GET /customers/{customer}/sessions': {
    params: { readonly customer: string };
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: { readonly items: readonly SessionSummary[]; readonly nextCursor: string | null };
  };
  'GET /customers/{customer}/sessions/{sessionId}': {
    params: { readonly customer: string; readonly sessionId: string };
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: Session;
  };
  'DELETE /customers/{customer}/sessions/{sessionId}': {
    params: { readonly customer: string; readonly sessionId: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'GET /customers/{customer}/sessions/{sessionId}/log': {
    params: { readonly customer: string; readonly sessionId: string };
    query: { readonly after?: number | undefined };
    body: undefined;
    answer: undefined;
  };
  'POST /customers/{customer}/sessions/{sessionId}/checkpoint': {
    params: { readonly customer: string; readonly sessionId: string };
    query: undefined;
    body: {
      readonly step: number | string;
      readonly lastTask?: (string | null) | undefined;
      readonly context?: unknown | undefined;
    };
    answer: undefined;
  };
  'POST /customers/{customer}/sessions/{sessionId}/resume': {
    params: { readonly customer: string; readonly sessionId: string };
    query: undefined;
    body: { readonly replay?: boolean | undefined };
    answer: ResumedSession;
  };
  'POST /customers/{customer}/sessions/{sessionId}/close': {
    params: { readonly customer: string; readonly sessionId: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'GET /customers/{customer}/sessions/{sessionId}/export': {
    params: { readonly customer: string; readonly sessionId: string };
    query: { readonly files?: 'true' | 'false' | undefined; readonly plain?: 'true' | 'false' | undefined };
    body: undefined;
    answer: undefined;
  };
  'POST /customers/{customer}/sessions/import': {
    params: { readonly customer: string };
    query: {
      readonly as?: string | undefined;
      readonly files?: 'true' | 'false' | undefined;
      readonly overwrite?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: ImportedSession;
  };
  'GET /customers/{customer}/files': {
    params: { readonly customer: string };
    query: {
      readonly limit?: number | undefined;
      readonly cursor?: string | undefined;
      readonly path?: string | undefined;
      readonly recursive?: 'true' | 'false' | undefined;
    };
    body: undefined;
    answer: { readonly items: readonly File[]; readonly nextCursor: string | null };
  };
  'POST /customers/{customer}/files': {
    params: { readonly customer: string };
    query: undefined;
    body:
      | { readonly folder: string }
      | { readonly from: string; readonly to: string; readonly overwrite?: boolean | undefined };
    answer: File;
  };
  'HEAD /customers/{customer}/files/{path}': {
    params: { readonly customer: string; readonly path: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'GET /customers/{customer}/files/{path}': {
    params: { readonly customer: string; readonly path: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'PUT /customers/{customer}/files/{path}': {
    params: { readonly customer: string; readonly path: string };
    query: undefined;
    body: undefined;
    answer: File;
  };
  'DELETE /customers/{customer}/files/{path}': {
    params: { readonly customer: string; readonly path: string };
    query: { readonly recursive?: 'true' | 'false' | undefined };
    body: undefined;
    answer: undefined;
  };
  'GET /customers/{customer}/archive': {
    params: { readonly customer: string };
    query: { readonly path?: string | undefined };
    body: undefined;
    answer: undefined;
  };
  'POST /customers/{customer}/archive': {
    params: { readonly customer: string };
    query: { readonly path?: string | undefined };
    body: undefined;
    answer: UnpackedArchive;
  };
  'GET /customers/{customer}/snapshots': {
    params: { readonly customer: string };
    query: undefined;
    body: undefined;
    answer: { readonly items: readonly Snapshot[] };
  };
  'POST /customers/{customer}/snapshots': {
    params: { readonly customer: string };
    query: undefined;
    body: { readonly name?: (string | null) | undefined };
    answer: Snapshot;
  };
  'POST /customers/{customer}/snapshots/{snapshot}/restore': {
    params: { readonly customer: string; readonly snapshot: string };
    query: undefined;
    body: undefined;
    answer: Snapshot;
  };
  'DELETE /customers/{customer}/snapshots/{snapshot}': {
    params: { readonly customer: string; readonly snapshot: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'GET /customers/{customer}/tools': {
    params: { readonly customer: string };
    query: {
      readonly limit?: number | undefined;
      readonly cursor?: string | undefined;
      readonly server?: string | undefined;
    };
    body: undefined;
    answer: { readonly items: readonly ToolSummary[]; readonly nextCursor: string | null };
  };
  'GET /customers/{customer}/tools/search': {
    params: { readonly customer: string };
    query: {
      readonly q: string | readonly string[];
      readonly limit?: number | undefined;
      readonly detail?: 'names' | 'summaries' | 'full' | undefined;
      readonly maxTokens?: number | undefined;
      readonly language?: 'typescript' | 'python' | undefined;
    };
    body: undefined;
    answer: ToolSearchResult;
  };
  'GET /customers/{customer}/tools/{server}/{tool}': {
    params: { readonly customer: string; readonly server: string; readonly tool: string };
    query: { readonly language?: 'typescript' | 'python' | undefined };
    body: undefined;
    answer: Tool;
  };
  'GET /customers/{customer}/skills': {
    params: { readonly customer: string };
    query: {
      readonly limit?: number | undefined;
      readonly cursor?: string | undefined;
      readonly q?: string | undefined;
    };
    body: undefined;
    answer: { readonly items: readonly ListedSkill[]; readonly nextCursor: string | null };
  };
  'GET /customers/{customer}/skills/{skill}': {
    params: { readonly customer: string; readonly skill: string };
    query: undefined;
    body: undefined;
    answer: SkillDetails;
  };
  'PUT /customers/{customer}/skills/{skill}': {
    params: { readonly customer: string; readonly skill: string };
    query: undefined;
    body: {
      readonly execution: string;
      readonly description?: string | undefined;
      readonly replace?: boolean | undefined;
    };
    answer: Skill;
  };
  'DELETE /customers/{customer}/skills/{skill}': {
    params: { readonly customer: string; readonly skill: string };
    query: undefined;
    body: undefined;
    answer: undefined;
  };
  'GET /keys': {
    params: undefined;
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: { readonly items: readonly Key[]; readonly nextCursor: string | null };
  };
  'POST /keys': {
    params: undefined;
    query: undefined;
    body: {
      readonly name: string;
      readonly scopes?: readonly ('read' | 'execute' | 'files' | 'sessions' | 'approve' | 'keys' | 'mcp')[] | undefined;
      readonly expiresInMs?: number | undefined;
      readonly role?: 'administrator' | 'organisation' | 'customer' | undefined;
      readonly organisation?: string | undefined;
      readonly customer?: string | undefined;
      readonly maxSandboxes?: number | undefined;
    };
    answer: NewKey;
  };
  'GET /keys/{key}': { params: { readonly key: string }; query: undefined; body: undefined; answer: Key };
  'DELETE /keys/{key}': { params: { readonly key: string }; query: undefined; body: undefined; answer: Key };
  'GET /customers/{customer}/keys': {
    params: { readonly customer: string };
    query: { readonly limit?: number | undefined; readonly cursor?: string | undefined };
    body: undefined;
    answer: { readonly items: readonly Key[]; readonly nextCursor: string | null };
  };
  'POST /customers/{customer}/keys': {
    params: { readonly customer: string };
    query: undefined;
    body: {
      readonly name: string;
      readonly scopes?: readonly ('read' | 'execute' | 'files' | 'sessions' | 'approve' | 'keys' | 'mcp')[] | undefined;
      readonly expiresInMs?: number | undefined;
    };
    answer: NewKey;
  };
  'DELETE /customers/{customer}/keys/{key}': {
    params: { readonly customer: string; readonly key: string };
    query: undefined;
    body: undefined;
    answer: Key;
  };
  'GET /customers/{customer}/usage': {
    params: { readonly customer: string };
    query: undefined;
    body: undefined;
    answer: Usage;
  };
}

export type Checkpoint = {
  readonly step: number | string;
  readonly lastTask: string | null;
  readonly context: unknown;
};
export type Customer = { readonly customer: string };
export type DecidedApproval = {
  readonly approvalId: string;
  readonly executionId: string;
  readonly approved: boolean;
  readonly by: string;
  readonly reason?: string | undefined;
};
export type ExecuteRequest = {
  readonly code?: string | undefined;
  readonly task?: string | undefined;
  readonly language?: 'typescript' | 'python' | undefined;
  readonly tools?: readonly string[] | undefined;
  readonly session?: string | undefined;
  readonly executionId?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly typeCheck?: boolean | undefined;
  readonly limits?:
    | {
        readonly toolCalls?: number | undefined;
        readonly outputBytes?: number | undefined;
        readonly valueBytes?: number | undefined;
      }
    | undefined;
};
export type ExecutionSummary = {
  readonly executionId: string;
  readonly sessionId: string;
  readonly state:
    | 'running'
    | 'paused'
    | 'completed'
    | 'failed'
    | 'timed_out'
    | 'killed'
    | 'limit_exceeded'
    | 'interrupted';
  readonly lastSeq: number;
  readonly approvals: readonly PendingApproval[];
  readonly result: RecordedResult | null;
};
export type File = {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  readonly size: number | null;
  readonly modifiedAt: string;
  readonly contentType: string | null;
  readonly version: string | null;
};
export type HiddenServer = { readonly server: string; readonly reason: string; readonly tools: readonly string[] };
export type HistoryEvent =
  | {
      readonly seq: number;
      readonly at: string;
      readonly type: 'started';
      readonly executionId: string;
      readonly sessionId: string;
      readonly language: 'typescript' | 'python';
      readonly task: string | null;
    }
  | { readonly seq: number; readonly at: string; readonly type: 'stdout'; readonly text: string }
  | { readonly seq: number; readonly at: string; readonly type: 'stderr'; readonly text: string }
  | {
      readonly seq: number;
      readonly at: string;
      readonly type: 'tool.called';
      readonly call: number;
      readonly server: string;
      readonly tool: string;
    }
  | {
      readonly seq: number;
      readonly at: string;
      readonly type: 'tool.returned';
      readonly call: number;
      readonly server: string;
      readonly tool: string;
      readonly ms: number;
      readonly ok: boolean;
      readonly error?: { readonly code: string; readonly message: string } | undefined;
    }
  | {
      readonly seq: number;
      readonly at: string;
      readonly type: 'approval.required';
      readonly approvalId: string;
      readonly call: number;
      readonly server: string;
      readonly tool: string;
      readonly arguments: unknown;
    }
  | {
      readonly seq: number;
      readonly at: string;
      readonly type: 'approval.decided';
      readonly approvalId: string;
      readonly call: number;
      readonly approved: boolean;
      readonly by: string;
      readonly reason: string | null;
    }
  | { readonly seq: number; readonly at: string; readonly type: 'resumed'; readonly attempt: number }
  | { readonly seq: number; readonly at: string; readonly type: 'finished'; readonly result: RecordedResult };
export type ImportedSession = {
  readonly sessionId: string;
  readonly events: number;
  readonly executions: number;
  readonly from: { readonly customer: string; readonly session: string; readonly exportedAt: string };
  readonly files: UnpackedArchive | null;
};
export type Key = {
  readonly id: string;
  readonly name: string;
  readonly role: 'administrator' | 'organisation' | 'customer';
  readonly organisation: string;
  readonly customer: string | null;
  readonly scopes: readonly ('read' | 'execute' | 'files' | 'sessions' | 'approve' | 'keys' | 'mcp')[];
  readonly prefix: string;
  readonly active: boolean;
  readonly createdAt: string;
  readonly createdBy: string | null;
  readonly lastUsedAt: string | null;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly maxSandboxes: number | null;
};
export type ListedExecution = {
  readonly executionId: string;
  readonly sessionId: string;
  readonly startedAt: string;
  readonly language: 'typescript' | 'python';
  readonly task: string | null;
  readonly state:
    | 'running'
    | 'paused'
    | 'completed'
    | 'failed'
    | 'timed_out'
    | 'killed'
    | 'limit_exceeded'
    | 'interrupted';
};
export type ListedSkill =
  | {
      readonly status: 'ready';
      readonly name: string;
      readonly scope: 'own' | 'shared';
      readonly description: string;
      readonly languages: readonly ('typescript' | 'python')[];
      readonly execution: string | null;
      readonly tools: readonly { readonly server: string; readonly tool: string }[];
      readonly stale: readonly {
        readonly server: string;
        readonly tool: string;
        readonly change: 'changed' | 'gone';
      }[];
      readonly score?: number | undefined;
      readonly reasons?: readonly string[] | undefined;
    }
  | { readonly status: 'broken'; readonly name: string; readonly scope: 'own' | 'shared'; readonly problem: string };
export type NewKey = {
  readonly id: string;
  readonly name: string;
  readonly role: 'administrator' | 'organisation' | 'customer';
  readonly organisation: string;
  readonly customer: string | null;
  readonly scopes: readonly ('read' | 'execute' | 'files' | 'sessions' | 'approve' | 'keys' | 'mcp')[];
  readonly prefix: string;
  readonly active: boolean;
  readonly createdAt: string;
  readonly createdBy: string | null;
  readonly lastUsedAt: string | null;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly maxSandboxes: number | null;
  readonly secret: string;
};
export type PendingApproval = {
  readonly approvalId: string;
  readonly executionId: string;
  readonly sessionId: string;
  readonly call: number;
  readonly server: string;
  readonly tool: string;
  readonly arguments: unknown;
  readonly requestedAt: string;
};
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code:
    | 'invalid_argument'
    | 'invalid_config'
    | 'unauthenticated'
    | 'forbidden'
    | 'not_found'
    | 'method_not_allowed'
    | 'already_exists'
    | 'invalid_state'
    | 'paused'
    | 'history_gone'
    | 'precondition_failed'
    | 'unsupported'
    | 'no_matching_tool'
    | 'missing_arguments'
    | 'quota_exceeded'
    | 'busy'
    | 'cancelled'
    | 'deadline_exceeded'
    | 'shutting_down'
    | 'driver_unavailable'
    | 'sandbox_boot_failed'
    | 'sandbox_lost'
    | 'server_unreachable'
    | 'upstream_unavailable'
    | 'protocol_error'
    | 'storage_failed'
    | 'storage_full'
    | 'internal';
  readonly requestId: string;
  readonly details?: { readonly [key: string]: unknown } | undefined;
  readonly retryable: boolean;
};
export type RecordedResult = {
  readonly executionId: string;
  readonly customer: string;
  readonly sessionId: string;
  readonly status: 'completed' | 'failed' | 'timed_out' | 'killed' | 'limit_exceeded' | 'interrupted';
  readonly value: unknown;
  readonly stdout: string;
  readonly stderr: string;
  readonly output: { readonly stdoutBytes: number; readonly stderrBytes: number; readonly truncated: boolean };
  readonly error: {
    readonly name: string;
    readonly message: string;
    readonly stack: string;
    readonly line?: number | undefined;
    readonly fields?: { readonly [key: string]: unknown } | undefined;
  } | null;
  readonly limit: 'time' | 'memory' | 'output' | null;
  readonly exitCode: number | null;
  readonly selection: Selection;
  readonly planner: 'none' | 'literal';
  readonly language: 'typescript' | 'python';
  readonly program: string;
  readonly warnings: readonly string[];
  readonly sandbox: {
    readonly id: string;
    readonly driver: string;
    readonly isolation: 'hardware' | 'emulated' | 'process';
    readonly boot: 'warm' | 'pooled' | 'restored' | 'cold';
    readonly poolBypass?: string | undefined;
  } | null;
  readonly calls: readonly {
    readonly seq: number;
    readonly server: string;
    readonly tool: string;
    readonly ms: number;
    readonly ok: boolean;
    readonly error?: { readonly code: string; readonly message: string } | undefined;
  }[];
  readonly timing: {
    readonly selectMs: number;
    readonly generateMs: number;
    readonly acquireMs: number;
    readonly runMs: number;
    readonly totalMs: number;
  } | null;
};
export type ResumedSession = {
  readonly sessionId: string;
  readonly interrupted: readonly string[];
  readonly paused: readonly string[];
  readonly checkpoint: Checkpoint | null;
  readonly resumed: readonly string[];
};
export type SelectedTool = {
  readonly server: string;
  readonly tool: string;
  readonly score: number;
  readonly reasons: readonly string[];
};
export type Selection = {
  readonly mode: 'explicit' | 'imports' | 'lexical' | 'hybrid' | 'none';
  readonly withoutEmbeddings?: string | undefined;
  readonly considered: number;
  readonly tools: readonly SelectedTool[];
  readonly noMatch: { readonly reason: string; readonly nearMisses: readonly SelectedTool[] } | null;
  readonly hidden?: readonly HiddenServer[] | undefined;
  readonly budget?:
    | { readonly maxTokens: number; readonly tokens: number; readonly leftOut: readonly string[] }
    | undefined;
};
export type Session = {
  readonly sessionId: string;
  readonly customer: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  readonly checkpoint: {
    readonly step: number | string;
    readonly lastTask: string | null;
    readonly context: unknown;
    readonly at: string;
  } | null;
  readonly stateFiles: readonly string[];
  readonly taskCount: number;
  readonly tasks: readonly {
    readonly executionId: string;
    readonly description: string;
    readonly language: 'typescript' | 'python';
    readonly code: string;
    readonly result: unknown;
    readonly output: string;
    readonly startedAt: string;
    readonly status:
      | 'running'
      | 'paused'
      | 'completed'
      | 'failed'
      | 'timed_out'
      | 'killed'
      | 'limit_exceeded'
      | 'interrupted';
    readonly error: string | null;
  }[];
  readonly nextCursor: string | null;
};
export type SessionSummary = {
  readonly sessionId: string;
  readonly startedAt: string | null;
  readonly writtenAt: string;
  readonly state: 'open' | 'closed' | 'unreadable';
  readonly executions: number;
  readonly bytes: number;
  readonly problem: string | null;
};
export type Skill = {
  readonly name: string;
  readonly scope: 'own' | 'shared';
  readonly description: string;
  readonly languages: readonly ('typescript' | 'python')[];
  readonly execution: string | null;
  readonly tools: readonly { readonly server: string; readonly tool: string }[];
  readonly stale: readonly { readonly server: string; readonly tool: string; readonly change: 'changed' | 'gone' }[];
};
export type SkillDetails = {
  readonly name: string;
  readonly scope: 'own' | 'shared';
  readonly description: string;
  readonly languages: readonly ('typescript' | 'python')[];
  readonly execution: string | null;
  readonly tools: readonly { readonly server: string; readonly tool: string }[];
  readonly stale: readonly { readonly server: string; readonly tool: string; readonly change: 'changed' | 'gone' }[];
  readonly instructions: string;
  readonly code: readonly { readonly path: string; readonly text: string }[];
};
export type Snapshot = {
  readonly id: string;
  readonly name: string | null;
  readonly createdAt: string;
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  readonly bytes: number;
  readonly storage: 'shared' | 'objects';
  readonly skipped: number;
};
export type StoredEvent = { readonly v: number; readonly seq: number; readonly at: string; readonly type: string };
export type Tool = {
  readonly server: string;
  readonly tool: string;
  readonly kind: 'upstream' | 'module';
  readonly description: string;
  readonly inputSchema: boolean | { readonly [key: string]: unknown };
  readonly outputSchema?: (boolean | { readonly [key: string]: unknown }) | undefined;
  readonly observedOutput?: (boolean | { readonly [key: string]: unknown }) | undefined;
  readonly annotations?:
    | {
        readonly title?: string | undefined;
        readonly readOnlyHint?: boolean | undefined;
        readonly destructiveHint?: boolean | undefined;
        readonly idempotentHint?: boolean | undefined;
        readonly openWorldHint?: boolean | undefined;
      }
    | undefined;
  readonly definition: string;
};
export type ToolSearchResult = {
  readonly mode: 'lexical' | 'hybrid';
  readonly withoutEmbeddings?: string | undefined;
  readonly hidden?: readonly HiddenServer[] | undefined;
  readonly considered: number;
  readonly hits: readonly {
    readonly server: string;
    readonly tool: string;
    readonly score: number;
    readonly reasons: readonly string[];
    readonly detail: 'names' | 'summaries' | 'full';
    readonly text: string;
  }[];
  readonly tokens: number;
  readonly leftOut: readonly string[];
};
export type ToolSummary = {
  readonly server: string;
  readonly tool: string;
  readonly kind: 'upstream' | 'module';
  readonly description: string;
};
export type UnpackedArchive = {
  readonly files: number;
  readonly folders: number;
  readonly links: number;
  readonly bytes: number;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
};
export type Usage = {
  readonly customer: string;
  readonly executions: { readonly used: number | null; readonly limit: number | null; readonly left: number | null };
  readonly executionsPerMinute: {
    readonly used: number | null;
    readonly limit: number | null;
    readonly left: number | null;
  };
  readonly cpuSecondsPerDay: {
    readonly used: number | null;
    readonly limit: number | null;
    readonly left: number | null;
  };
  readonly diskBytes: { readonly used: number | null; readonly limit: number | null; readonly left: number | null };
};
