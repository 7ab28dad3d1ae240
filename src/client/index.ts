/** A client of the HTTP API of `workcell serve`: `workcell/client`. */
export { type ErrorCode, isWorkcellError, WorkcellError } from '../core/errors.ts';
export type {
  CustomerClient,
  ExportSessionOptions,
  ImportSessionOptions,
  ReadFileOptions,
  RequestOptions,
  WriteFileOptions,
} from './customer-client.ts';
export type { FollowOptions } from './follow-execution.ts';
export type {
  ExecuteRequest,
  ExecutionSummary,
  HistoryEvent,
  ImportedSession,
  Operations,
  RecordedResult,
  UnpackedArchive,
} from './operations.ts';
export type { TransportOptions } from './transport.ts';
export { type OperationInput, type OperationName, WorkcellClient } from './workcell-client.ts';
