import type { ToolDescriptor } from '../core/tool.ts';
import type { ObservedOutputs } from './observed-outputs.ts';
import type { ToolManifest } from './tool-manifest.ts';

/** The tools of a manifest as the rest of Workcell knows them, with what was learned of them as they are. */
export function descriptorsOf(manifest: ToolManifest, observed: ObservedOutputs): readonly ToolDescriptor[] {
  const { kind, server } = manifest;
  return manifest.tools.map(({ schemaHash, ...entry }) => {
    const learned = observed.get(entry.tool);
    const isOfThis = learned !== undefined && learned.schemaHash === schemaHash && entry.outputSchema === undefined;
    return { kind, server, ...entry, ...(isOfThis ? { observedOutput: learned.output } : {}) };
  });
}
