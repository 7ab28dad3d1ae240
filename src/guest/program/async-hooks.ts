/** The hooks of `module-hooks.ts` for a node that runs them in a thread of their own. */
import type { InitializeHook, LoadHook, ResolveHook } from 'node:module';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { PROGRAM_URL } from '../../protocol/runner-frames.ts';
import { locateModule } from './locate-module.ts';

let sources: MessagePort;

export const initialize: InitializeHook<MessagePort> = (port) => {
  sources = port;
};

export const resolve: ResolveHook = (specifier, context, next) => {
  if (specifier.startsWith(PROGRAM_URL)) return { url: specifier, shortCircuit: true };
  const url = locateModule(specifier);
  return url === undefined ? next(specifier, context) : { url, shortCircuit: true };
};

export const load: LoadHook = (url, context, next) => {
  if (url.startsWith(PROGRAM_URL))
    return { format: 'module', source: String(receiveMessageOnPort(sources)?.message), shortCircuit: true };
  if (url.endsWith('.ts')) throw new Error(`node ${process.version} cannot load ${url}: TypeScript needs node 22.18`);
  return next(url, context);
};
