import { WorkcellError } from '../core/errors.ts';
import type { Customer } from '../workcell/customer.ts';
import { lookUpExecution } from './execution-report.ts';
import type { ResourceContents, ResourcePage, ResourceSource } from './resource-source.ts';

export type ExecutionPart = 'value' | 'output';

export function executionUri(executionId: string, part: ExecutionPart): string {
  return `workcell://executions/${executionId}/${part}`;
}

/** What a customer's executions gave, whole; it is linked to where it is too long to be shown. */
export class ExecutionParts implements ResourceSource {
  readonly template = {
    name: 'execution',
    uriTemplate: 'workcell://executions/{id}/{part}',
    title: 'All of what an execution gave',
    description: '`value` as JSON, or `output` as text',
  };
  readonly #customer: Customer;

  constructor(customer: Customer) {
    this.#customer = customer;
  }

  async list(): Promise<ResourcePage> {
    return { resources: [] };
  }

  read(uri: string): Promise<ResourceContents> | undefined {
    const [, id, part] = /^workcell:\/\/executions\/([^/]+)\/([^/]+)$/.exec(uri) ?? [];
    return id === undefined || part === undefined ? undefined : this.#read(uri, id, part);
  }

  async #read(uri: string, id: string, part: string): Promise<ResourceContents> {
    const { value, output } = await lookUpExecution(this.#customer, id);
    if (part === 'value') return { uri, mimeType: 'application/json', text: JSON.stringify(value) };
    if (part === 'output') return { uri, mimeType: 'text/plain', text: output };
    throw new WorkcellError('not_found', `An execution has a value and output, and no ${JSON.stringify(part)}`);
  }
}
