import type { ResourceContents, ResourcePage, ResourceSource } from '../../../src/mcp/resource-source.ts';
import { PNG } from './fixture-tools.ts';

/** What the scenarios of resources read, beside the workspace's files and the executions'. */
export const FIXTURE_RESOURCES: ResourceSource = {
  template: { name: 'template', uriTemplate: 'test://template/{id}/data', description: 'Tells its own id' },
  list: async (): Promise<ResourcePage> => ({
    resources: [
      { name: 'static-text', uri: 'test://static-text', description: 'A text', mimeType: 'text/plain' },
      { name: 'static-binary', uri: 'test://static-binary', description: 'An image', mimeType: 'image/png' },
    ],
  }),
  read: (uri): Promise<ResourceContents> | undefined => {
    const contents = contentsOf(uri);
    return contents && Promise.resolve(contents);
  },
};

function contentsOf(uri: string): ResourceContents | undefined {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id !== undefined) {
    const text = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
    return { uri, mimeType: 'application/json', text };
  }
  if (uri === 'test://static-text')
    return { uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' };
  if (uri === 'test://static-binary') return { uri, mimeType: 'image/png', blob: PNG };
  return undefined;
}
