/**
 * A place in a configured value that differs from customer to customer. It is marked with a character that no environment
 * variable and no header can hold, so that nothing that was filled in can be taken for one.
 */
export type CustomerValue =
  /** A credential of the customer, by its key. */
  | { readonly kind: 'credential'; readonly key: string }
  | { readonly kind: 'id' }
  /** A folder of the host that belongs to this customer and this server alone. */
  | { readonly kind: 'folder' };

const MARK = '\0';
const MARKED = /\0([a-z]+):([^\0]*)\0/g;

export const CREDENTIAL_KEY = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/;

/** The text that stands for the value until it is filled in. */
export function customerMark(value: CustomerValue): string {
  return `${MARK}${value.kind}:${value.kind === 'credential' ? value.key : ''}${MARK}`;
}

/** What differs from customer to customer in this text, in order. */
export function customerValuesIn(text: string): readonly CustomerValue[] {
  return [...text.matchAll(MARKED)].flatMap(([, kind = '', key = '']) => customerValue(kind, key));
}

/** The text with every such place filled in. */
export function fillCustomerValues(text: string, fill: (value: CustomerValue) => string): string {
  return text.replace(MARKED, (mark, kind: string, key: string) => {
    const [value] = customerValue(kind, key);
    return value === undefined ? mark : fill(value);
  });
}

function customerValue(kind: string, key: string): readonly CustomerValue[] {
  if (kind === 'credential') return [{ kind, key }];
  return kind === 'id' || kind === 'folder' ? [{ kind }] : [];
}
