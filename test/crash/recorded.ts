/** One line of a record of what was done to files. What has an `id` is over when the `end` of it is recorded; the rest is done. */
export type Recorded = { readonly id?: number } /** `link`: another name of what is there. */ & (
  | {
      readonly op: 'create';
      readonly kind: 'file' | 'directory' | 'link';
      readonly directory: number;
      readonly name: string;
      readonly inode: number;
    }
  | {
      readonly op: 'rename';
      readonly from: { readonly directory: number; readonly name: string };
      readonly directory: number;
      readonly name: string;
      readonly inode: number;
    }
  | { readonly op: 'remove'; readonly directory: number; readonly name: string }
  /** `data`: base64; `at`: the byte, or wherever the file ends. */
  | { readonly op: 'write'; readonly inode: number; readonly at: number | 'end'; readonly data: string }
  | { readonly op: 'truncate'; readonly inode: number; readonly size: number }
  | { readonly op: 'sync'; readonly inode: number }
  | { readonly op: 'end'; readonly id: number }
  /** Somebody was told that something is done. */
  | { readonly op: 'ack'; readonly what: unknown }
);
