import type { HistoryEvent, Language } from '../../src/core/execution.ts';
import type { SyncMoment } from './die-at-sync.ts';

/** What a holder is to do. */
export interface Command {
  readonly execution: string;
  readonly session: string;
  readonly isNew: boolean;
  /** Whether all that was cut off in the session is resumed. */
  readonly whole: boolean;
  readonly program: string;
  readonly language: Language;
  /** A file that the host writes. */
  readonly hostFile: string;
  /** Where it kills itself; otherwise it is killed. */
  readonly dieAtSync?: SyncMoment;
}

/** What a holder says: everything but `ready` is an acknowledgement. */
export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'written'; readonly path: string }
  | { readonly kind: 'event'; readonly event: HistoryEvent }
  | { readonly kind: 'over' };
