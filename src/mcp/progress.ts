import type { ToolProgress } from '../core/tool-error.ts';
import type { CallExtra } from './tool-table.ts';

/** Tells a client that asked for it how far its call is. */
export function progressOf({ _meta, sendNotification }: CallExtra): (progress: ToolProgress) => void {
  const progressToken = _meta?.progressToken;
  if (progressToken === undefined) return () => {};
  return ({ progress, total, message }) => {
    const params = { progressToken, progress, total, message };
    // A client that is gone has no use for it, and is told in no other way.
    sendNotification({ method: 'notifications/progress', params }).catch(() => {});
  };
}
