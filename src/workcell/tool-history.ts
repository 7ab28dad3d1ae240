import type { ToolCatalog } from '../catalog/tool-catalog.ts';
import type { Config } from '../config/config.ts';
import { toWorkcellError, type WorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
import type { CustomerId } from '../core/ids.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { CustomerUsage } from './customer-usage.ts';
import { servedTools } from './served-tools.ts';

interface Context {
  readonly config: Config;
  readonly catalog: ToolCatalog;
  /** Told why what tools were used for could not be read or written: nothing fails for that. */
  readonly onUsageProblem: (customer: CustomerId, error: WorkcellError) => void;
}

/** Finds tools by what a customer has used them for; undefined when nothing is remembered. */
export async function toolHistory(
  customer: CustomerId,
  usage: CustomerUsage | undefined,
  { config, catalog, onUsageProblem }: Context,
): Promise<Retriever | undefined> {
  if (!config.selector.usage) return undefined;
  try {
    return await usage?.history(catalog.list());
  } catch (error) {
    onUsageProblem(customer, toWorkcellError(error));
    return undefined;
  }
}

/** Remembers which tools have served a task. */
export async function rememberTools(
  customer: CustomerId,
  usage: CustomerUsage,
  { task, result }: { readonly task: string | undefined; readonly result: ExecutionResult },
  { config, catalog, onUsageProblem }: Context,
): Promise<void> {
  if (!config.selector.usage || task === undefined) return;
  try {
    await usage.record({ task, tools: servedTools(result, catalog), at: new Date() });
  } catch (error) {
    onUsageProblem(customer, toWorkcellError(error));
  }
}
