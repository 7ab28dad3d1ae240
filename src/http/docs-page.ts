import { ERRORS } from '../core/errors.ts';
import type { Content, OpenApiDocument, Operation } from './openapi.ts';
import { notesOf, schemaHtml, text } from './schema-html.ts';

/** The OpenAPI document as one HTML page that needs nothing else: no script, no font, no network. */
export function docsPage(document: OpenApiDocument): string {
  const { info, tags, paths, components } = document;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const sections = tags.map(({ name }) => {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    return `<section id="${text(name)}"><h2>${text(name)}</h2>${own.map(operationHtml).join('')}</section>`;
  });
  const links = [...tags.map(({ name }) => name), 'schemas', 'problems'].map(
    (name) => `<a href="#${text(name)}">${text(name)}</a>`,
  );
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<h3 id="schema-${text(name)}">${text(name)}</h3><p>${notesOf(schema)}</p><pre>${schemaHtml(schema)}</pre>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${text(info.title)} ${text(info.version)}</title><style>${STYLE}</style></head>
<body><header><h1>${text(info.title)} <small>${text(info.version)}</small></h1>
<p>${text(info.description)}</p><p>Send <code>Authorization: Bearer KEY</code> with every request; make keys with
<code>workcell key create</code>. The same as JSON: <a href="openapi.json">openapi.json</a> (OpenAPI ${text(document.openapi)}).</p>
<nav>${links.join(' ')}</nav></header><main>${sections.join('')}
<section id="schemas"><h2>schemas</h2>${schemas.join('')}</section>
<section id="problems"><h2>problems</h2><table><tr><th>code<th>status<th>the same again may succeed</tr>${problemRows()}</table></section>
</main></body></html>
`;
}

interface Listed {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

function operationHtml({ method, path, operation }: Listed): string {
  const { operationId, summary, description = '', parameters, requestBody, responses } = operation;
  const rows = parameters.map(
    ({ name, in: place, required, description = '', schema }) =>
      `<tr><td><code>${text(name)}</code>${required ? '' : ' <i>optional</i>'}<td>${place}<td><code>${schemaHtml(schema)}</code><td>${notesOf({ ...schema, description })}</tr>`,
  );
  const answers = Object.entries(responses).map(
    ([status, response]) =>
      `<tr><td>${text(status)}<td>${text(response.description)}<td>${contentHtml(response.content ?? {})}</tr>`,
  );
  return `<article id="${text(operationId)}"><h3><b>${method}</b> <code>${text(path)}</code></h3>
<p>${text(summary)}. ${text(description)} <small>Scope of the key: <code>${text(operation['x-scope'])}</code></small></p>
${rows.length === 0 ? '' : `<table><tr><th>parameter<th>in<th>type<th>meaning</tr>${rows.join('')}</table>`}
${requestBody === undefined ? '' : `<h4>Body</h4>${contentHtml(requestBody.content)}`}
<table><tr><th>status<th>when<th>body</tr>${answers.join('')}</table></article>`;
}

function contentHtml(content: Content): string {
  return Object.entries(content)
    .map(
      ([type, { schema }]) =>
        `<code>${text(type)}</code>${schema === undefined ? '' : `<pre>${schemaHtml(schema)}</pre>`}`,
    )
    .join('');
}

function problemRows(): string {
  return Object.entries(ERRORS)
    .map(
      ([code, { http, retryable }]) =>
        `<tr id="problem-${code}"><td><code>${code}</code><td>${http}<td>${retryable ? 'yes' : 'no'}</tr>`,
    )
    .join('');
}

const STYLE = `body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:auto;padding:1rem;color-scheme:light dark}
nav a{margin-right:1rem}article{border-top:1px solid #8884;margin:1.5rem 0}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #8882}
pre{overflow:auto;background:#8881;padding:.6rem}code{font-size:.92em}tr:target,article:target{background:#fd02}`;
