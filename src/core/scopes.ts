/** What a key may be good for, besides what its role says. */
export const SCOPES = ['read', 'execute', 'files', 'sessions', 'approve', 'keys', 'mcp'] as const;

export type Scope = (typeof SCOPES)[number];
