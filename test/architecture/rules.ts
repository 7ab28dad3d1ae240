import { posix } from 'node:path';
import { type Token, tokenize } from './tokens.ts';

/** Who may import whom, below `src/`: modules, files, and folders (with a slash at the end). A module may always import itself. Nothing imports `index.ts` and `cli`. */
const BASE = ['core', 'util'];
const PARTS = [
  ...BASE,
  'config',
  'protocol',
  'catalog',
  'selector',
  'embedding',
  'codegen',
  'upstream',
  'guardrails',
  'broker',
  'executor',
  'sandbox',
  'guest',
  'workspaces',
  'sessions',
  'telemetry',
];
const DRIVER = 'sandbox/drivers/*';

export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  util: ['core'],
  config: BASE,
  protocol: ['core'],
  catalog: [...BASE, 'codegen'],
  selector: ['core'],
  // The library, the model and the cached vectors behind the selector's port.
  embedding: [...BASE, 'selector/embedder.ts'],
  codegen: ['core'],
  upstream: BASE,
  guardrails: BASE,
  broker: [...BASE, 'guardrails', 'upstream'],
  executor: [...BASE, 'protocol'],
  sandbox: [...BASE, 'protocol'],
  // What more than one driver needs of the host, and the guest runtime of those that boot our own agent.
  [DRIVER]: [...BASE, 'protocol', 'sandbox/driver.ts', 'sandbox/driver-kit/', 'sandbox/guest-runtime/'],
  guest: ['protocol'],
  workspaces: BASE,
  sessions: BASE,
  // Prometheus and OpenTelemetry.
  telemetry: BASE,
  workcell: [...PARTS, DRIVER],
  http: ['workcell', ...BASE, 'config', 'telemetry'],
  mcp: ['workcell', ...BASE, 'config', 'telemetry'],
  // Runs elsewhere than the server: of it, only what its answers are.
  client: ['core'],
  // The command line starts both servers; neither serves it.
  cli: ['workcell', ...BASE, 'config', 'http', 'mcp'],
  // The contract suite that every driver passes; `workcell/testing` for drivers of others.
  testing: [...BASE, 'protocol', 'sandbox/driver.ts'],
  'index.ts': [...PARTS, DRIVER, 'workcell', 'http', 'mcp'],
};

/** The guest's environment is the sandbox's own, not the host's. */
const READS_ENVIRONMENT = ['config', 'cli', 'guest'];
const MAX_LINES = 500;

/** Source files by their path below `src/`, such as `core/errors.ts`. */
export type Sources = ReadonlyMap<string, string>;

/** Everything in which the sources break a rule, each naming the file, the line and the rule. */
export function findViolations(sources: Sources): string[] {
  const files = [...sources].map(([path, text]) => ({ path, text, tokens: tokenize(text) }));
  const imports = files.flatMap(({ path, tokens }) => importsOf(path, tokens));
  return [
    ...imports.flatMap((edge) => breaksTable(edge, sources)),
    ...findCycles(imports),
    ...files.flatMap(({ path, tokens }) => readsEnvironment(path, tokens)),
    ...files.flatMap(({ path, text }) => isTooLong(path, text)),
  ];
}

interface Import {
  readonly from: string;
  readonly line: number;
  readonly specifier: string;
  /** Path below `src/`, for a relative import. */
  readonly to: string;
}

/** All relative imports: values, types, re-exports, side effects, and `import()` of values and types. */
function importsOf(from: string, tokens: readonly Token[]): Import[] {
  return tokens.flatMap((token, index) => {
    const [before, beforeThat] = [tokens[index - 1], tokens[index - 2]];
    const isImport =
      isWord(before, 'from') || isWord(before, 'import') || (before?.text === '(' && isWord(beforeThat, 'import'));
    if (token.kind !== 'string' || !isImport || !token.text.startsWith('.')) return [];
    const to = posix.join(posix.dirname(from), token.text);
    return [{ from, line: token.line, specifier: token.text, to }];
  });
}

function breaksTable({ from, line, specifier, to }: Import, sources: Sources): string[] {
  const place = `src/${from}:${line} imports '${specifier}'`;
  if (!sources.has(to)) return [`${place}: there is no file src/${to}`];
  const [importer, imported] = [moduleOf(from), moduleOf(to)];
  if (importer.name === imported.name) return [];
  const allowed = MAY_IMPORT[importer.rule];
  if (allowed === undefined) return [`${place}: "${importer.name}" is not in the import table`];
  const isAllowed = (each: string) =>
    each === imported.rule || each === to || (each.endsWith('/') && to.startsWith(each));
  if (allowed.some(isAllowed)) return [];
  return [`${place}: "${importer.name}" may import only ${allowed.join(', ') || 'itself'}`];
}

/** The module that a file belongs to, and its row in the table: all drivers share one, and are different modules. */
function moduleOf(path: string): { readonly name: string; readonly rule: string } {
  const [top = '', below, driver] = path.split('/');
  if (top === 'sandbox' && below === 'drivers' && driver !== undefined) {
    return { name: `sandbox/drivers/${posix.parse(driver).name}`, rule: DRIVER };
  }
  return { name: top, rule: top };
}

/** One cycle for each file that closes one, as the path that leads back to it. */
function findCycles(imports: readonly Import[]): string[] {
  const targets = Map.groupBy(imports, (edge) => edge.from);
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0)
      cycles.push(`import cycle: ${[...trail.slice(start), path].map((file) => `src/${file}`).join(' → ')}`);
    if (start >= 0 || done.has(path)) return;
    for (const edge of targets.get(path) ?? []) visit(edge.to, [...trail, path]);
    done.add(path);
  };
  for (const path of targets.keys()) visit(path, []);
  return cycles;
}

/** `process.env` in any spelling, and what would let it go by another name. */
function readsEnvironment(path: string, tokens: readonly Token[]): string[] {
  if (READS_ENVIRONMENT.includes(moduleOf(path).name)) return [];
  return tokens.flatMap((token, index) => {
    const next = tokens.slice(index + 1, index + 5).map((each) => each.text);
    const [brace, before] = tokens.slice(Math.max(0, index - 2), index);
    const reads = isWord(token, 'process') && /^(\?\.|\.)?\[?env\b/.test(next.join(''));
    const unpacks = isWord(token, 'process') && before?.text === '=' && brace?.text === '}' && next[0] !== '.';
    const imports =
      token.kind === 'string' && /^(node:)?process$/.test(token.text) && isWord(tokens[index - 1], 'from');
    if (!reads && !unpacks && !imports) return [];
    return [`src/${path}:${token.line} can read process.env: only src/config and src/cli may`];
  });
}

function isTooLong(path: string, text: string): string[] {
  if (text.startsWith('// Generated ')) return [];
  const lines = text.trimEnd().split('\n').length;
  return lines > MAX_LINES ? [`src/${path} has ${lines} lines: split what has more than ${MAX_LINES}`] : [];
}

function isWord(token: Token | undefined, text: string): boolean {
  return token?.kind === 'word' && token.text === text;
}
