/** Under this URL a program is loaded in the guest, so that `./x` means a file of the workspace. */
export const PROGRAM_URL = 'file:///workspace/program.ts';
