import { type CustomerValue, customerMark } from '../util/customer-value.ts';

export interface Interpolation {
  readonly value: string;
  /** One message for each reference that could not be replaced. */
  readonly problems: readonly string[];
}

/** An escape, a customer's credential, a variable, or what is neither. */
const REFERENCE = /\$\$\{|\$\{customer:([A-Za-z_][A-Za-z0-9_-]{0,62})\}|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{[^}]*\}?/g;

/** What differs from customer to customer, and may stand in some values only. */
const CUSTOMER_VALUES: Readonly<Record<string, CustomerValue>> = {
  CUSTOMER_ID: { kind: 'id' },
  CUSTOMER_DIR: { kind: 'folder' },
};

/**
 * Replaces `${NAME}` with the variable's value; `$${` stands for a literal `${`. The result is text whatever it holds:
 * it is never read as YAML. `${customer:KEY}`, `${CUSTOMER_ID}` and `${CUSTOMER_DIR}` become marks that are filled in for
 * each customer; only values that are filled in may hold them.
 */
export function interpolate(text: string, variables: Readonly<Record<string, string | undefined>>): Interpolation {
  const problems: string[] = [];
  const value = text.replace(REFERENCE, (reference, key?: string, name?: string) => {
    if (reference === '$${') return '${';
    if (key !== undefined) return customerMark({ kind: 'credential', key });
    const customerValue =
      name !== undefined && Object.hasOwn(CUSTOMER_VALUES, name) ? CUSTOMER_VALUES[name] : undefined;
    if (customerValue !== undefined) return customerMark(customerValue);
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
