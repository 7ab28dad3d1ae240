import { chmod, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { WorkcellError } from '../core/errors.ts';
import { parseCustomerId } from '../core/ids.ts';
import { readTextIfExists, writeFileAtomic } from '../util/atomic-file.ts';
import { CREDENTIAL_KEY } from '../util/customer-value.ts';
import { Deadline } from '../util/deadline.ts';
import { FileLock } from '../util/file-lock.ts';
import { fileVersion } from '../util/file-version.ts';
import { Secret } from '../util/secret.ts';

/** Whose credential it is; `default` is nobody's: tools are looked at with it, and no customer is ever served with it. */
export type CredentialOwner = { readonly customer: string } | 'default';

export interface StoredCredential {
  readonly key: string;
  /** Undefined for the default one. */
  readonly customer: string | undefined;
  /** ISO 8601. */
  readonly setAt: string;
}

const entries = z.record(z.string(), z.strictObject({ value: z.string(), setAt: z.iso.datetime() }));
const fileSchema = z.strictObject({
  version: z.literal(1),
  defaults: entries,
  customers: z.record(z.string(), entries),
});

type CredentialFile = z.output<typeof fileSchema>;

const EMPTY: CredentialFile = { version: 1, defaults: {}, customers: {} };
const LOCK_TIMEOUT_MS = 10_000;
const MAX_CHARACTERS = 16 * 1024;

/**
 * The credentials with which servers are reached for each customer, in one file that the host's user alone can read and any
 * number of processes may change: `<folder>/credentials.json`. Values go to upstream servers and nowhere else.
 */
export class CredentialStore {
  readonly #path: string;
  #read: { readonly version: string; readonly file: CredentialFile } | undefined;

  constructor(options: { readonly folder: string }) {
    this.#path = join(options.folder, 'credentials.json');
  }

  /** The value as the file has it now; undefined when there is none. */
  async find(owner: CredentialOwner, key: string): Promise<Secret | undefined> {
    const of = entriesOf(await this.#load(), owner);
    const entry = Object.hasOwn(of, key) ? of[key] : undefined;
    return entry === undefined ? undefined : new Secret(entry.value);
  }

  /** Replaces what was there. Throws `invalid_argument` for a key or a value that cannot be one. */
  async set(owner: CredentialOwner, key: string, value: Secret): Promise<void> {
    assertKey(key);
    assertValue(value.reveal());
    const entry = { value: value.reveal(), setAt: new Date().toISOString() };
    await this.#change((file) => withEntries(file, owner, { ...entriesOf(file, owner), [key]: entry }));
  }

  /** Throws `not_found` when there is none. */
  async remove(owner: CredentialOwner, key: string): Promise<void> {
    await this.#change((file) => {
      const of = entriesOf(file, owner);
      if (!Object.hasOwn(of, key)) {
        const [who, what] =
          owner === 'default' ? ['There is', 'default credential'] : [`Customer "${owner.customer}" has`, 'credential'];
        throw new WorkcellError('not_found', `${who} no ${what} "${key}"; see: workcell credential list`);
      }
      const { [key]: _, ...rest } = of;
      return withEntries(file, owner, rest);
    });
  }

  /** All of them, without their values, sorted by customer and key; the default ones first. */
  async list(): Promise<readonly StoredCredential[]> {
    const { defaults, customers } = await this.#load();
    const rows = (customer: string | undefined, of: CredentialFile['defaults']) =>
      Object.entries(of).map(([key, { setAt }]) => ({ key, customer, setAt }));
    const all = [...rows(undefined, defaults), ...Object.entries(customers).flatMap(([id, of]) => rows(id, of))];
    return all.sort((a, b) => ((a.customer ?? '') + a.key < (b.customer ?? '') + b.key ? -1 : 1));
  }

  async #change(change: (file: CredentialFile) => CredentialFile): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    using deadline = new Deadline('Waiting for the credentials', LOCK_TIMEOUT_MS);
    await using _lock = await FileLock.wait({ path: `${this.#path}.lock`, what: 'The credential store' }, deadline);
    const changed = change(await this.#load());
    await writeFileAtomic(this.#path, `${JSON.stringify(changed, null, 2)}\n`, 0o600);
    this.#read = undefined;
  }

  /** Read again only when it has changed. */
  async #load(): Promise<CredentialFile> {
    const version = await fileVersion(this.#path);
    if (this.#read?.version === version) return this.#read.file;
    // Somebody copied it, or unpacked it: what others can read is closed to them before it is used.
    if (version !== 'absent') await chmod(this.#path, 0o600);
    const file = parse(await readTextIfExists(this.#path));
    this.#read = { version, file };
    return file;
  }
}

function entriesOf(file: CredentialFile, owner: CredentialOwner): CredentialFile['defaults'] {
  if (owner === 'default') return file.defaults;
  return Object.hasOwn(file.customers, owner.customer) ? (file.customers[owner.customer] ?? {}) : {};
}

function withEntries(file: CredentialFile, owner: CredentialOwner, of: CredentialFile['defaults']): CredentialFile {
  if (owner === 'default') return { ...file, defaults: of };
  const { [parseCustomerId(owner.customer)]: _, ...others } = file.customers;
  const customers = Object.keys(of).length === 0 ? others : { ...others, [owner.customer]: of };
  return { ...file, customers };
}

function parse(text: string | undefined): CredentialFile {
  if (text === undefined) return EMPTY;
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    // Neither the text nor what a parser says of it: both can hold values.
    const message =
      'Cannot read the credentials: credentials.json is damaged; restore it, or delete it and set them anew';
    throw new WorkcellError('storage_failed', message);
  }
}

function assertKey(key: string): void {
  if (CREDENTIAL_KEY.test(key)) return;
  const message = `${JSON.stringify(key)} cannot be the key of a credential: use 1 to 63 letters, digits, "_" or "-", the first a letter or "_"`;
  throw new WorkcellError('invalid_argument', message);
}

function assertValue(value: string): void {
  if (value !== '' && value.length <= MAX_CHARACTERS && !/\p{Cc}/u.test(value)) return;
  const message = `The value of a credential must have 1 to ${MAX_CHARACTERS} characters, and no line break or other control character`;
  throw new WorkcellError('invalid_argument', message);
}
