import { expect, it } from 'vitest';
import { createSandboxSchema } from '../../../src/protocol/rest.ts';
import { describeSpec } from '../../../src/sandbox/spec-view.ts';
import { sandboxSpec } from '../../support/sandbox-server.ts';

it('what stands for a value is never where stock clients take the environment of commands from', () => {
  const request = createSandboxSchema.parse({ ...sandboxSpec('one'), env: [{ key: 'TOKEN', value: 'of a customer' }] });
  for (const reader of ['document', 'sdk'] as const) {
    const spec = describeSpec(request, reader);
    expect(spec).toMatchObject({ env: [{ key: 'TOKEN', value: '[redacted]' }] });
    // With a type, the image and all that is beside it are those of a request.
    expect(spec).not.toHaveProperty('image.type');
  }
});
