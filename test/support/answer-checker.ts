import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { OpenApiDocument, ResponseObject } from '../../src/http/openapi.ts';

export interface CheckedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly text: string;
}

export type CheckAnswer = (method: string, path: string, answer: CheckedAnswer) => void;

/** Throws for an answer that is not as the server's own OpenAPI document says; of routes that are not in it, it knows nothing. */
export function answerChecker(document: OpenApiDocument): CheckAnswer {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  ajv.addSchema(document, 'openapi');
  const templates = Object.keys(document.paths)
    .map((template) => ({ template, pattern: patternOf(template) }))
    .toSorted((a, b) => a.template.split('{').length - b.template.split('{').length);
  return (method, path, { status, headers, text }) => {
    const [pathname = ''] = path.split('?');
    const template = templates.find(({ pattern }) => pattern.test(pathname))?.template;
    const operation = template === undefined ? undefined : document.paths[template]?.[method.toLowerCase()];
    if (template === undefined || operation === undefined || method === 'HEAD') return;
    const name = status >= 400 && operation.responses[status] === undefined ? 'default' : String(status);
    const response = operation.responses[name];
    const problem = (what: string) =>
      new Error(`${method} ${template} has answered ${status}, ${what}:\n${text.slice(0, 2000)}`);
    if (response === undefined) throw problem('which is not documented');
    if (headers['x-request-id'] === undefined) throw problem('without an id of the request');
    if (text === '') return;
    const type = headers['content-type']?.split(';')[0] ?? '';
    const media = mediaOf(response, type);
    if (media === undefined) throw problem(`with the type "${type}", which is not documented`);
    if (response.content?.[media]?.schema === undefined) return;
    const pointer = ['paths', template, method.toLowerCase(), 'responses', name, 'content', media, 'schema'];
    const validate = ajv.compile({ $ref: `openapi#/${pointer.map(escapeToken).join('/')}` });
    for (const value of valuesOf(type, text))
      if (!validate(value)) throw problem(`which is not as documented: ${ajv.errorsText(validate.errors)}`);
  };
}

function mediaOf({ content = {} }: ResponseObject, type: string): string | undefined {
  return [type, '*/*'].find((media) => content[media] !== undefined);
}

function patternOf(template: string): RegExp {
  const source = template
    .replace(/[.*]/g, '\\$&')
    .replace(/\{path\}$/, '.+')
    .replace(/\{\w+\}/g, '[^/]+');
  return new RegExp(`^${source}$`);
}

function escapeToken(token: string): string {
  return encodeURIComponent(token.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function valuesOf(type: string, text: string): readonly unknown[] {
  if (/[/+]json$/.test(type)) return [JSON.parse(text)];
  if (type === 'application/x-ndjson')
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as unknown);
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data) as unknown);
}
