import type {
  BlobResourceContents,
  Resource,
  ResourceTemplate,
  TextResourceContents,
} from '@modelcontextprotocol/sdk/types.js';

/** One kind of resources that a server offers. */
export interface ResourceSource {
  readonly template: ResourceTemplate;
  /** Some of those that can be listed, in an order that stays, after what `cursor` names; `next` when there are more. */
  list(cursor: string | undefined): Promise<ResourcePage>;
  /** Undefined when the URI is not of this kind. Throws `not_found`. */
  read(uri: string): Promise<ResourceContents> | undefined;
}

export interface ResourcePage {
  readonly resources: readonly Resource[];
  readonly next?: string | undefined;
}

export type ResourceContents = TextResourceContents | BlobResourceContents;
