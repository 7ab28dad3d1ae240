/** Who makes a request, as the key tells. */
export interface Principal {
  readonly keyId: string;
  /** The organisation whose sandboxes and volumes it sees; it sees no others. */
  readonly orgId: string;
  /** Only an `administrator` may mount folders of the host. */
  readonly role: 'administrator' | 'organisation';
  /** Sandboxes that the key may have at once, in any state but ended; undefined is no limit. */
  readonly maxSandboxes?: number;
}
