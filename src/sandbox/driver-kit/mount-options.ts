import type { MountOptions } from '../driver.ts';

export const READ_ONLY: MountOptions = { readonly: true, nodev: true, nosuid: true, noexec: false };
export const WRITABLE: MountOptions = { ...READ_ONLY, readonly: false };

/** As mount(8) and the guest's agent name them; what is not named is allowed. */
export function optionNames(options: MountOptions): ('ro' | 'nodev' | 'nosuid' | 'noexec')[] {
  return [
    ...(options.readonly ? (['ro'] as const) : []),
    ...(options.nodev ? (['nodev'] as const) : []),
    ...(options.nosuid ? (['nosuid'] as const) : []),
    ...(options.noexec ? (['noexec'] as const) : []),
  ];
}

/** Device nodes and set-user-id files of a guest are never honoured on the host's side, whatever was asked for. */
export function hostSide(options: MountOptions): MountOptions {
  return { ...options, nodev: true, nosuid: true };
}

/** One word of a shell's, whatever it holds. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
