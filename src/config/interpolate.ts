export interface Interpolation {
  readonly value: string;
  /** One message for each reference that could not be replaced. */
  readonly problems: readonly string[];
}

/**
 * Replaces `${NAME}` with the variable's value; `$${` stands for a literal `${`. The result is text whatever it holds:
 * it is never read as YAML.
 */
export function interpolate(text: string, variables: Readonly<Record<string, string | undefined>>): Interpolation {
  const problems: string[] = [];
  const value = text.replace(/\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{[^}]*\}?/g, (reference, name?: string) => {
    if (reference === '$${') return '${';
    if (name === undefined) {
      problems.push(`${JSON.stringify(reference)} is not a variable; write $\${ for a literal \${`);
      return reference;
    }
    const found = Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (found === undefined || found === '') {
      problems.push(`the environment variable ${name} is ${found === undefined ? 'not set' : 'empty'}`);
      return '';
    }
    return found;
  });
  return { value, problems };
}
