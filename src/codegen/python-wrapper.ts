import { WorkcellError } from '../core/errors.ts';
import type { ToolDescriptor } from '../core/tool.ts';
import { docParagraphs } from './doc-paragraphs.ts';
import { pascalCase } from './identifiers.ts';
import { docstring, isPythonName, pythonString } from './python-text.ts';
import { labelOf, PythonTypes } from './python-types.ts';
import { readSchema } from './read-schema.ts';
import { outputDeclarations } from './tool-output.ts';
import type { Declaration, ObjectType, Property } from './type-model.ts';
import { GENERATED } from './wrapper.ts';

const HEADER = `# ${GENERATED}\n`;
/** What the function's body uses, besides its parameters. */
const CALL_TOOL = '_call_tool';
const UNSET = '_UNSET';
const INPUT = '_input';
const OTHERS = '_others';
const OWN_NAMES: ReadonlySet<string> = new Set([CALL_TOOL, UNSET, INPUT, OTHERS]);

/**
 * The module `servers/<server>/<pythonIdentifier>.py` of an upstream tool: its types, and a function that calls it.
 *
 * The properties of the input are keyword-only parameters. One that is not required and not given is left out of the
 * call; so is None, unless the schema allows null. A tool with a property that cannot name a parameter, or whose input
 * is no object, takes its whole input as one positional argument.
 */
export function renderPythonWrapper(tool: ToolDescriptor): string {
  const { imports, definitions, signature, doc, body } = pythonParts(tool);
  const blocks = [...definitions, `${signature}:\n${doc}${body}`];
  return `${HEADER}from __future__ import annotations\n\n${imports}\nfrom ..runtime import call_tool as ${CALL_TOOL}\n\n\n${blocks.join('\n\n')}`;
}

/** What a program needs to know of the tool: its types, and how it is called, without how that is done. */
export function renderPythonDefinition(tool: ToolDescriptor): string {
  const { definitions, signature, doc } = pythonParts(tool);
  return [...definitions.filter((text) => !text.startsWith(UNSET)), `${signature}:\n${doc}    ...\n`].join('\n\n');
}

/**
 * The module `servers/<server>/__init__.py`: the functions and types of all tools, each loaded when it is first asked for,
 * because a program needs few of many.
 */
export function renderPythonPackage(tools: readonly ToolDescriptor[]): string {
  const sorted = tools.map((tool) => ({ name: pythonName(tool), types: exportedTypes(tool) }));
  sorted.sort((a, b) => (a.name < b.name ? -1 : 1));
  const imports = sorted.map(({ name, types }) => `    from .${name} import ${[name, ...types].join(', ')}\n`);
  const entries = sorted.flatMap(({ name, types }) => [name, ...types].map((key) => `    '${key}': '${name}',\n`));
  return `${HEADER}from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
${imports.join('') || '    pass\n'}
_MODULES = {
${entries.join('')}}
__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module('.' + _MODULES[name], __name__), name)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # Python puts each module that it loads into its package; the function of that name belongs there.
        is_tool = isinstance(value, ModuleType) and name in _MODULES
        super().__setattr__(name, getattr(value, name, value) if is_tool else value)


sys.modules[__name__].__class__ = _Package
`;
}

interface PythonParts {
  readonly imports: string;
  readonly definitions: readonly string[];
  readonly signature: string;
  readonly doc: string;
  readonly body: string;
}

function pythonParts(tool: ToolDescriptor): PythonParts {
  const name = pythonName(tool);
  const { input, output } = typeNames(tool);
  const taken = new Set([input, output]);
  const inputs = readSchema(input, tool.inputSchema, taken);
  const outputs = outputDeclarations(output, tool, taken);
  const types = new PythonTypes([...inputs, ...outputs], [name, input, output]);
  const object = keywordObject(inputs, types);
  const call = object === undefined ? positional(inputs, input, types) : keywords(object, types);
  for (const declaration of outputs.slice(0, 1)) types.declare(declaration, output);
  const signature = signatureOf(name, call.parameters, output);
  const doc = docstring([tool.description.slice(0, MAX_DESCRIPTION), call.doc], '    ');
  const body = `${call.prepare}    return ${CALL_TOOL}(${pythonString(tool.server)}, ${pythonString(tool.tool)}, ${call.input})\n`;
  const unset = call.prepare.includes(`is not ${UNSET}:`) ? [`${UNSET}: ${types.use('Any')} = object()\n`] : [];
  const definitions = [...types.definitions(), ...unset];
  return { imports: types.imports(), definitions, signature, doc, body };
}

const MAX_DESCRIPTION = 8_000;
const LINE = 100;

function signatureOf(name: string, parameters: readonly string[], output: string): string {
  const line = `def ${name}(${parameters.join(', ')}) -> ${output}`;
  if (line.length <= LINE) return line;
  return `def ${name}(\n${parameters.map((parameter) => `    ${parameter},\n`).join('')}) -> ${output}`;
}

interface Call {
  readonly parameters: readonly string[];
  readonly doc: string;
  /** Statements that come before the call. */
  readonly prepare: string;
  /** The expression of the input that is sent. */
  readonly input: string;
}

/** The object of the input when each of its properties can be a parameter. */
function keywordObject([root]: readonly Declaration[], types: PythonTypes): ObjectType | undefined {
  const object = root === undefined ? undefined : types.merger.asObject(root.type);
  if (object === undefined || (object.properties.length === 0 && object.others !== undefined)) return undefined;
  const isFine = ({ name }: Property) => isPythonName(name) && !OWN_NAMES.has(name);
  return object.properties.length <= MAX_PARAMETERS && object.properties.every(isFine) ? object : undefined;
}

const MAX_PARAMETERS = 200;

function keywords({ properties, others }: ObjectType, types: PythonTypes): Call {
  const sorted = [...properties].sort((a, b) => Number(b.required) - Number(a.required));
  const parameters = sorted.map((property) => parameter(property, types));
  const rest = others === undefined ? [] : [`**${OTHERS}: ${types.annotation(others, 'Other')}`];
  const always = parameters.flatMap(({ name, unset }) =>
    unset === undefined ? [`${pythonString(name)}: ${name}`] : [],
  );
  const given = `{${[...always, ...(others === undefined ? [] : [`**${OTHERS}`])].join(', ')}}`;
  const optional = parameters.flatMap(({ name, unset }) =>
    unset === undefined ? [] : [`    if ${name} is not ${unset}:\n        ${INPUT}[${pythonString(name)}] = ${name}\n`],
  );
  const isPrepared = optional.length > 0;
  return {
    parameters: [...(parameters.length > 0 ? ['*'] : []), ...parameters.map(({ text }) => text), ...rest],
    doc: argumentDocs(sorted),
    prepare: isPrepared
      ? `    ${INPUT}: ${types.use('Dict')}[str, ${types.use('Any')}] = ${given}\n${optional.join('')}`
      : '',
    input: isPrepared ? INPUT : given,
  };
}

interface Parameter {
  readonly name: string;
  readonly text: string;
  /** What stands for a value that is not given; undefined for one that is required. */
  readonly unset: string | undefined;
}

function parameter({ name, type, required }: Property, types: PythonTypes): Parameter {
  const annotation = types.annotation(type, labelOf(name) || 'Value');
  if (required) return { name, text: `${name}: ${annotation}`, unset: undefined };
  if (types.merger.allowsNull(type)) return { name, text: `${name}: ${annotation} = ${UNSET}`, unset: UNSET };
  return { name, text: `${name}: ${types.use('Optional')}[${annotation}] = None`, unset: 'None' };
}

function positional([root]: readonly Declaration[], input: string, types: PythonTypes): Call {
  if (root === undefined) throw new WorkcellError('internal', `The input ${input} has no type`);
  types.declare(root, input);
  const object = types.merger.asObject(root.type);
  const isOptional = object === undefined || !object.properties.some(({ required }) => required);
  const given = isOptional ? `input: ${types.use('Optional')}[${input}] = None` : `input: ${input}`;
  return {
    parameters: [given, '/'],
    doc: '',
    prepare: '',
    input: isOptional ? '{} if input is None else input' : 'input',
  };
}

function argumentDocs(properties: readonly Property[]): string {
  const lines = properties.flatMap(({ name, docs }) => {
    const text = docParagraphs(docs, 'Deprecated')
      .join('\n')
      .trim()
      .replace(/\s*\n\s*/g, '\n        ');
    return text === '' ? [] : [`    ${name}: ${text}`];
  });
  return lines.length === 0 ? '' : `Args:\n${lines.join('\n')}`;
}

/** Types that are there for every tool; those of parameters are named after them and stay in the module. */
function exportedTypes(tool: ToolDescriptor): readonly string[] {
  return [typeNames(tool).output];
}

function typeNames(tool: ToolDescriptor): { input: string; output: string } {
  const name = pascalCase(tool.identifier);
  return { input: `${name}Input`, output: `${name}Output` };
}

function pythonName({ server, tool, pythonIdentifier }: ToolDescriptor): string {
  if (pythonIdentifier !== undefined) return pythonIdentifier;
  throw new WorkcellError('internal', `There is no Python identifier for ${server}.${tool}`);
}
