// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the notation is what is tested
import { describe, expect, it } from 'vitest';
import { interpolate } from '../../../src/config/interpolate.ts';
import { customerValuesIn, fillCustomerValues } from '../../../src/util/customer-value.ts';

describe('interpolate', () => {
  const variables = { HOST: 'example.com', EMPTY: '', NESTED: '${HOST}', YAML: 'a: [1, {b: true}]\n- x' };

  it.each([
    ['https://${HOST}/x', 'https://example.com/x'],
    ['${HOST}${HOST}', 'example.comexample.com'],
    ['no variable', 'no variable'],
    ['$HOST and $ and {HOST}', '$HOST and $ and {HOST}'],
  ])('replaces the variables of %j', (text, value) => {
    expect(interpolate(text, variables)).toEqual({ value, problems: [] });
  });

  it('takes $${ for a literal ${', () => {
    expect(interpolate('$${HOST} is ${HOST}', variables)).toEqual({ value: '${HOST} is example.com', problems: [] });
  });

  it('marks what differs from customer to customer, and nothing that only looks like it', () => {
    const { value, problems } = interpolate('${customer:a-b} ${CUSTOMER_ID} ${CUSTOMER_DIR} $${customer:x}', {
      CUSTOMER_ID: 'from the environment',
    });
    expect(problems).toEqual([]);
    expect(customerValuesIn(value)).toEqual([{ kind: 'credential', key: 'a-b' }, { kind: 'id' }, { kind: 'folder' }]);
    expect(fillCustomerValues(value, ({ kind }) => kind)).toBe('credential id folder ${customer:x}');
    expect(customerValuesIn(interpolate('${LIKE}', { LIKE: '${customer:x}' }).value)).toEqual([]);
  });

  it('does not look into what it put in', () => {
    expect(interpolate('${NESTED}', variables).value).toBe('${HOST}');
    expect(interpolate('${YAML}', variables).value).toBe(variables.YAML);
  });

  it.each([
    ['${MISSING}', 'the environment variable MISSING is not set'],
    ['${EMPTY}', 'the environment variable EMPTY is empty'],
    ['${toString}', 'the environment variable toString is not set'],
    ['${a b}', '"${a b}" is not a variable; write $${ for a literal ${'],
    ['${}', '"${}" is not a variable; write $${ for a literal ${'],
    ['${customer:}', '"${customer:}" is not a variable; write $${ for a literal ${'],
    ['${customer:a b}', '"${customer:a b}" is not a variable; write $${ for a literal ${'],
    ['x ${HOST', '"${HOST" is not a variable; write $${ for a literal ${'],
  ])('reports %j', (text, problem) => {
    expect(interpolate(text, variables).problems).toEqual([problem]);
  });

  it('reports every reference that fails', () => {
    expect(interpolate('${A} ${HOST} ${B}', variables).problems).toHaveLength(2);
  });
});
