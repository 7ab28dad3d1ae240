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

it('of a secret is told what stands for it and who gets it, and never its value or where that comes from', () => {
  const secret = {
    env_var: 'TOKEN',
    value: 'of a customer',
    placeholder: '$MSB_TOKEN',
    allowed_hosts: [{ type: 'exact', value: 'api.example.com' }],
  };
  const request = createSandboxSchema.parse({ ...sandboxSpec('one'), network: { secrets: { entries: [secret] } } });
  expect(describeSpec(request, 'document')).toMatchObject({
    network: {
      secrets: [
        {
          env_var: 'TOKEN',
          placeholder: '$MSB_TOKEN',
          allowed_hosts: secret.allowed_hosts,
          injection: { headers: true, basic_auth: true, query_params: false, body: false },
        },
      ],
    },
  });
  for (const reader of ['document', 'sdk'] as const)
    expect(JSON.stringify(describeSpec(request, reader))).not.toContain('of a customer');
});
