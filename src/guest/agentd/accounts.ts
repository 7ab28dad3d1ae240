import { readFileSync } from 'node:fs';

/** Whom a command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** All groups, the first one included. */
  readonly groups: readonly number[];
  readonly home: string | undefined;
}

/** The guest's `/etc/passwd` and `/etc/group`. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
}

export function readAccountFiles(): AccountFiles {
  return { passwd: readOrEmpty('/etc/passwd'), group: readOrEmpty('/etc/group') };
}

/**
 * Who `spec` is: a name or an id, with `:` and a group if need be. An id need not be in the files; a name must. Throws an
 * Error that says what is not there.
 */
export function resolveAccount(spec: string, files: AccountFiles): Account {
  const [, userPart = '', groupPart] = /^([^:]*)(?::(.*))?$/s.exec(spec.trim()) ?? [];
  const user = userPart.trim();
  if (user === '') throw new Error('user spec has empty user');
  const id = parseId(user);
  const entry = rows(files.passwd).find(([name, , uid]) => (id === undefined ? name === user : Number(uid) === id));
  if (entry === undefined && id === undefined) throw new Error(`guest user not found: ${user}`);
  const gid = groupPart === undefined ? Number(entry?.[3] ?? 0) : groupId(groupPart.trim(), files);
  return {
    uid: id ?? Number(entry?.[2]),
    gid,
    // Only who has a name can be a member of more groups.
    groups: entry === undefined ? [] : [...new Set([gid, ...memberships(entry[0] ?? '', files)])],
    home: entry?.[5] || undefined,
  };
}

function groupId(group: string, files: AccountFiles): number {
  if (group === '') throw new Error('user spec has empty group');
  const id = parseId(group) ?? rows(files.group).find(([name]) => name === group)?.[2];
  if (id === undefined) throw new Error(`guest group not found: ${group}`);
  return Number(id);
}

function memberships(user: string, files: AccountFiles): number[] {
  return rows(files.group)
    .filter(([, , , members = '']) => members.split(',').includes(user))
    .map(([, , gid]) => Number(gid));
}

function parseId(value: string): number | undefined {
  return /^\d{1,10}$/.test(value) && Number(value) <= 0xffff_ffff ? Number(value) : undefined;
}

/** The fields of every line that has an id where both files have it. */
function rows(file: string): readonly (readonly string[])[] {
  return file
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([, , id = '']) => parseId(id) !== undefined);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
