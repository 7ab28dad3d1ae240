/** What a double of an MCP server does; given to it as JSON in its first argument. */
export interface DoubleSpec {
  /** Entries of `tools/list`, as they go over the wire. */
  readonly tools?: readonly unknown[];
  /** A JSON file with the entries instead, read anew for each listing. */
  readonly toolsFile?: string;
  /** Entries on one page; default: all. */
  readonly pageSize?: number;
  /** A list that never ends: the same cursor again and again, or always another one. */
  readonly endless?: 'same-cursor' | 'new-cursors';
  /** A file that gets a line for every message that arrives. */
  readonly log?: string;
  /** Goes on after stdin closed and after SIGTERM. */
  readonly stubborn?: boolean;
  /** Prints this to stdout before anything else. */
  readonly banner?: string;
  /** Writes its environment to stderr and exits with 3 instead of serving. */
  readonly exitAtOnce?: boolean;
  /** Never answers `initialize`. */
  readonly mute?: boolean;
  /** Starts a process of its own that would outlive it, and logs its id. */
  readonly grandchild?: boolean;
  /** Exits at once, as a server that is down, while this file exists. */
  readonly downWhile?: string;
  /** Entries of `resources/list`; each can be read. */
  readonly resources?: readonly { readonly uri: string; readonly name: string }[];
  /** Entries of `prompts/list`. */
  readonly prompts?: readonly { readonly name: string }[];
  /** Entries on one page of resources; default: all. */
  readonly resourcesEndless?: boolean;
}
