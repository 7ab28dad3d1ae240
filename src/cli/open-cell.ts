import type { Command } from 'commander';
import { type LoadedConfig, loadConfig } from '../config/load-config.ts';
import type { FlagValue } from '../config/override-layers.ts';
import { createWorkcell, type Workcell } from '../workcell/workcell.ts';
import { sayProgress } from './output.ts';

/** The configuration as this invocation wants it: the file of `--config`, the environment, and flags above them. */
export function loadCliConfig(command: Command, flags: readonly FlagValue[] = []): Promise<LoadedConfig> {
  const { config } = command.optsWithGlobals<{ config?: string }>();
  return loadConfig({ env: process.env, flags, ...(config === undefined ? {} : { path: config }) });
}

export async function openCell(command: Command, flags: readonly FlagValue[] = []): Promise<Workcell> {
  return createWorkcell({ config: await loadCliConfig(command, flags), onProgress: sayProgress });
}
