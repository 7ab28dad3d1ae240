/** The environment of this process: the one place outside of the command line where it is read. */
export function processEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env;
}
