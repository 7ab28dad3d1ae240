export const ROLES = ['administrator', 'organisation'] as const;

/** An administrator sees and may do everything; an organisation's key reaches what is its organisation's alone. */
export type Role = (typeof ROLES)[number];

/** Who shares sandboxes and volumes. The id is the `org_id` of the wire. */
export interface Organisation {
  /** A UUID. */
  readonly id: string;
  readonly name: string;
}

/** Whom a request comes from, as its key says. */
export interface Principal {
  /** Which key it was; undefined for one that is not kept in a key store. */
  readonly keyId?: string;
  readonly role: Role;
  /** Whose everything is that this principal creates. */
  readonly org: Organisation;
  /** Sandboxes that may exist at a time of all those that this key has created. Undefined: as many as the server takes. */
  readonly maxSandboxes?: number;
  /** The one namespace of its organisation that a token of the JSON-RPC line is good for. Undefined: all of them. */
  readonly namespace?: string;
}

/** The organisation of every key that names no other. */
export const DEFAULT_ORGANISATION: Organisation = { id: '00000000-0000-4000-8000-000000000001', name: 'default' };

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any route runs. */
    principal: Principal;
  }
}
