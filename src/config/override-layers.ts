import type { Entry } from './layer.ts';

/** The environment variables that set a key, and the key that each one sets. */
export const VARIABLES: Readonly<Record<string, string>> = {
  MSB_SERVER_URL: 'sandbox.url',
  MSB_API_KEY: 'sandbox.apiKey',
  WORKCELL_API_KEY: 'server.apiKey',
  WORKCELL_CACHE_DIR: 'paths.cache',
  WORKCELL_LOG_LEVEL: 'log.level',
};

/** One flag of the command line and the key that it sets; an undefined value sets nothing. */
export interface FlagValue {
  /** Dotted, such as `limits.timeout`. */
  readonly key: string;
  /** As the user types it, such as `--timeout`. */
  readonly flag: string;
  readonly value: string | number | boolean | undefined;
}

/** A variable that is empty counts as one that is not set. */
export function environmentLayer(env: Readonly<Record<string, string | undefined>>): readonly Entry[] {
  return Object.entries(VARIABLES)
    .filter(([name]) => env[name])
    .map(([name, key]) => overrideOf(key, env[name], `env ${name}`));
}

export function flagLayer(flags: readonly FlagValue[]): readonly Entry[] {
  return flags
    .filter(({ value }) => value !== undefined)
    .map(({ key, flag, value }) => overrideOf(key, value, `flag ${flag}`));
}

function overrideOf(key: string, value: unknown, origin: string): Entry {
  return { path: key.split('.'), value, written: value, origin };
}
