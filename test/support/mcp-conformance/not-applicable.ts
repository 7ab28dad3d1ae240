const NO_PROMPTS = 'the server offers no prompts: what an agent may be told is in its instructions and tools';
const NO_LOGGING = 'the server sends no log messages: what a program writes is in the result of its execution';
const NO_SUBSCRIPTIONS = 'the server lets nobody subscribe to resources: the files change with every program';

/** Server scenarios about features that the server does not have, and does not say it had; why not. */
export const NOT_APPLICABLE_TO_SERVER: Readonly<Record<string, string>> = {
  'logging-set-level': NO_LOGGING,
  'tools-call-with-logging': NO_LOGGING,
  'completion-complete': 'the server completes no arguments: it has no prompts, and its templates take paths and ids',
  'tools-call-sampling': "the server asks no client for its model: the programs that it runs are the model's own",
  'resources-subscribe': NO_SUBSCRIPTIONS,
  'resources-unsubscribe': NO_SUBSCRIPTIONS,
  'prompts-list': NO_PROMPTS,
  'prompts-get-simple': NO_PROMPTS,
  'prompts-get-with-args': NO_PROMPTS,
  'prompts-get-embedded-resource': NO_PROMPTS,
  'prompts-get-with-image': NO_PROMPTS,
};

/** Scenarios that warn of what is as it should be; why it is. */
export const SERVER_WARNINGS: Readonly<Record<string, string>> = {
  'server-sse-polling':
    'it says that it speaks 2025-03-26, and waits for an event without data, which clients of that version cannot read',
};

const NO_OAUTH = 'upstream servers are given the keys of the configuration, and asked for no others';

const AUTH = [
  'metadata-default',
  'metadata-var1',
  'metadata-var2',
  'metadata-var3',
  'basic-cimd',
  'scope-from-www-authenticate',
  'scope-from-scopes-supported',
  'scope-omitted-when-undefined',
  'scope-step-up',
  'scope-retry-limit',
  'token-endpoint-auth-basic',
  'token-endpoint-auth-post',
  'token-endpoint-auth-none',
  'pre-registration',
  '2025-03-26-oauth-metadata-backcompat',
  '2025-03-26-oauth-endpoint-fallback',
  'resource-mismatch',
  'offline-access-scope',
  'offline-access-not-supported',
  'client-credentials-jwt',
  'client-credentials-basic',
  'cross-app-access-complete-flow',
];

/** Client scenarios about features that our client of upstream servers does not have, and does not say it had; why not. */
export const NOT_APPLICABLE_TO_CLIENT: Readonly<Record<string, string>> = {
  'elicitation-sep1034-client-defaults': 'nobody is there who could be asked when a program calls a tool',
  ...Object.fromEntries(AUTH.map((name) => [`auth/${name}`, NO_OAUTH])),
};
