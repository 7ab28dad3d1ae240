import { Command, InvalidArgumentError, Option } from 'commander';
import { messageOf, WorkcellError } from '../../core/errors.ts';
import { ROLES, type Role, SCOPES, type Scope } from '../../core/principal.ts';
import { parseDuration } from '../../core/units.ts';
import { type KeyInfo, type KeyStore, openKeyStore } from '../../workcell/sandbox-backend.ts';
import { loadCliConfig } from '../open-cell.ts';
import { parseCount } from '../option-values.ts';
import { print, printJson, say, table } from '../output.ts';

const DEFAULT_TOKEN_MS = 24 * 60 * 60_000;

/** `workcell key`: who may use the server of this configuration. It may run meanwhile, and notices. */
export function keyCommand(): Command {
  return new Command('key')
    .description('keys for the server that `workcell serve` runs')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand());
}

interface CreateFlags {
  readonly name?: string;
  readonly role?: Role;
  readonly org?: string;
  readonly customer?: string;
  readonly scopes?: readonly Scope[];
  readonly expires?: number;
  readonly maxSandboxes?: number;
  readonly jwt?: true;
  readonly namespace?: string;
  readonly json?: true;
}

function createCommand(): Command {
  return new Command('create')
    .description('make a key, and print its secret: this once, it is not kept')
    .option('--name <name>', 'what the key is for')
    .addOption(
      new Option(
        '--role <role>',
        'an administrator may do everything; an organisation or a customer, what is its own (default: "organisation", or "customer" with --customer)',
      ).choices(ROLES),
    )
    .option('--org <name>', 'the organisation, which is made when it is new (default: "default")')
    .option(
      '--customer <id>',
      'the one customer that the key is good for; with its organisation before it, as in acme.ann, or in --org',
    )
    .option(
      '--scopes <list>',
      `what the key is good for, with commas: ${SCOPES.join(', ')} (default: all; for a customer all but approve and keys)`,
      scopes,
    )
    .option('--expires <duration>', 'how long the key is good, such as 12h or 30d (default: for good)', duration)
    .option('--max-sandboxes <n>', 'sandboxes that it may have at a time', parseCount)
    .option('--jwt', 'make a token for clients of Microsandbox 0.2 (JSON-RPC); good for 24h unless --expires')
    .option('--namespace <name>', 'with --jwt: the namespace that it is good for, or "*" for all, as an administrator')
    .option('--json', 'print everything as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  workcell key create --name ci --org acme --expires 30d --max-sandboxes 20\n  workcell key create --name ann --customer acme.ann --scopes read,execute,files',
    )
    .action(async (flags: CreateFlags, command: Command) => {
      const store = openKeyStore((await loadCliConfig(command)).config);
      if (flags.jwt === true) await createToken(store, flags, command);
      else await createKey(store, flags);
    });
}

async function createKey(store: KeyStore, flags: CreateFlags): Promise<void> {
  const { name, org, customer, scopes, expires: expiresInMs, maxSandboxes, namespace, json } = flags;
  const role = flags.role ?? (customer === undefined ? 'organisation' : 'customer');
  if (namespace !== undefined) throw usage('--namespace is for tokens: add --jwt, or use --org');
  if (name === undefined) throw usage('A key needs a name; add --name');
  const { secret, key } = await store.create({ name, role, org, customer, scopes, expiresInMs, maxSandboxes });
  if (json === true) return printJson({ ...key, secret: secret.reveal() });
  say(
    `Key ${key.id} (${key.role} ${key.customer ?? `of ${key.org.name}`}; ${key.scopes.join(' ')}); it is shown this once`,
  );
  print(secret.reveal());
}

async function createToken(store: KeyStore, flags: CreateFlags, command: Command): Promise<void> {
  const { namespace, expires = DEFAULT_TOKEN_MS, json } = flags;
  if (namespace === undefined) throw usage('A token needs a namespace; add --namespace, with "*" for all');
  const others = ['name', 'role', 'org', 'customer', 'scopes', 'maxSandboxes'].filter(
    (name) => command.getOptionValueSource(name) === 'cli',
  );
  if (others.length > 0) throw usage('With --jwt there is only --namespace and --expires: a token holds nothing else');
  const token = (await store.createToken(namespace, expires)).reveal();
  if (json === true) printJson({ namespace, secret: token });
  else print(token);
}

function listCommand(): Command {
  return new Command('list')
    .description('all keys, without their secrets')
    .option('--json', 'print them as JSON')
    .addHelpText('after', '\nExample:\n  workcell key list --json')
    .action(async (options: { json?: true }, command: Command) => {
      const keys = await openKeyStore((await loadCliConfig(command)).config).list();
      if (options.json === true) return printJson(keys);
      if (keys.length === 0) return say('There are no keys; make one with: workcell key create --name NAME');
      print(
        table([
          ['ID', 'SECRET', 'ROLE', 'ORG', 'CUSTOMER', 'SCOPES', 'STATE', 'LAST USED', 'NAME'],
          ...keys.map(toRow),
        ]),
      );
    });
}

function toRow(key: KeyInfo): readonly string[] {
  return [
    key.id,
    `${key.prefix}…`,
    key.role,
    key.org.name,
    key.customer ?? '-',
    key.scopes.length === SCOPES.length ? 'all' : key.scopes.join(','),
    stateOf(key),
    key.lastUsedAt ?? 'never',
    key.name,
  ];
}

function stateOf({ active, revokedAt, expiresAt }: KeyInfo): string {
  if (revokedAt !== undefined) return 'revoked';
  if (!active) return 'expired';
  return expiresAt === undefined ? 'active' : `until ${expiresAt}`;
}

function revokeCommand(): Command {
  return new Command('revoke')
    .description('end what a key lets do, at once and for good; open connections end, too')
    .argument('[id]', 'the key, as in: workcell key list')
    .option('--tokens', 'instead of a key: every token that was made with --jwt')
    .option('--json', 'print the key that is revoked as JSON')
    .addHelpText('after', '\nExample:\n  workcell key revoke key_0123456789ab')
    .action(async (id: string | undefined, options: { tokens?: true; json?: true }, command: Command) => {
      if ((id === undefined) === (options.tokens === undefined)) throw usage('Name one key, or use --tokens');
      const store = openKeyStore((await loadCliConfig(command)).config);
      if (id === undefined) {
        await store.revokeTokens();
        return options.json === true ? printJson({ tokens: 'revoked' }) : say('All tokens are revoked');
      }
      const key = await store.revoke(id);
      if (options.json === true) return printJson(key);
      say(`Key ${key.id} (${key.name}, ${key.role} ${key.customer ?? `of ${key.org.name}`}) is revoked`);
    });
}

function scopes(value: string): readonly Scope[] {
  const names = value.split(',').map((name) => name.trim());
  const known = SCOPES.filter((scope) => names.includes(scope));
  if (known.length === new Set(names).size) return known;
  throw new InvalidArgumentError(`Give some of ${SCOPES.join(', ')}, with commas between.`);
}

function duration(value: string): number {
  try {
    return parseDuration(value);
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}.`);
  }
}

function usage(message: string): WorkcellError {
  return new WorkcellError('invalid_argument', message);
}
