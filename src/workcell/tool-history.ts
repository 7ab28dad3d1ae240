import { toWorkcellError } from '../core/errors.ts';
import type { ExecutionResult } from '../core/execution.ts';
import type { CustomerId } from '../core/ids.ts';
import type { Retriever } from '../selector/retriever.ts';
import type { CustomerContext } from './customer-context.ts';
import type { CustomerUsage } from './customer-usage.ts';
import { servedTools } from './served-tools.ts';

type Context = Pick<CustomerContext, 'config' | 'catalog' | 'onUsageProblem'>;

/** Finds tools by what they were used for; undefined when nothing is remembered, or it cannot be read: that is told, and no more. */
export async function findHistory(
  usage: CustomerUsage | undefined,
  { config, catalog, onUsageProblem }: Context,
  customer: CustomerId,
): Promise<Retriever | undefined> {
  if (!config.selector.usage) return undefined;
  try {
    return await usage?.history(catalog.list());
  } catch (error) {
    onUsageProblem(customer, toWorkcellError(error));
    return undefined;
  }
}

/** Remembers which tools a task was served with. Never rejects: what cannot be written is told. */
export async function rememberTools(
  usage: CustomerUsage,
  { config, catalog, onUsageProblem }: Context,
  task: string | undefined,
  result: ExecutionResult,
): Promise<void> {
  if (!config.selector.usage || task === undefined) return;
  try {
    await usage.record({ task, tools: servedTools(result, catalog), at: new Date() });
  } catch (error) {
    onUsageProblem(result.customer, toWorkcellError(error));
  }
}
