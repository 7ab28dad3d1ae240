import { describe, expect, it } from 'vitest';
import { sandboxConfigSchema } from '../../../../src/protocol/json-rpc.ts';
import { toCreateRequest } from '../../../../src/sandbox/rpc/sandbox-config.ts';

const NAMED = { namespace: 'team', sandbox: 'main' };
const convert = (config: object, mayBind = true) =>
  toCreateRequest(NAMED, { ...sandboxConfigSchema.parse(config), image: 'microsandbox/python' }, mayBind);

describe('a configuration of 0.2', () => {
  it('becomes a sandbox of the cloud API', () => {
    const config = {
      memory: 256,
      cpus: 2,
      envs: ['A=b=c', 'E='],
      workdir: '/w',
      shell: '/bin/sh',
      scripts: { go: 'ls' },
    };
    expect(convert({ ...config, volumes: ['/srv/a:/a', 'data:/b', '/c'] })).toMatchObject({
      name: 'team.main',
      image: { reference: 'microsandbox/python' },
      resources: { vcpus: 2, memory_mib: 256 },
      env: [
        { key: 'A', value: 'b=c' },
        { key: 'E', value: '' },
      ],
      labels: { 'microsandbox.namespace': 'team', 'microsandbox.sandbox': 'main' },
      lifecycle: { ephemeral: true },
      mounts: [
        { type: 'bind', host: '/srv/a', guest: '/a' },
        { type: 'named', name: 'data', guest: '/b' },
        { type: 'bind', host: '/c', guest: '/c' },
      ],
      runtime: { workdir: '/w', shell: '/bin/sh', scripts: { go: 'ls' } },
    });
  });

  it('may leave everything out, or say null', () => {
    const defaults = convert({});
    expect(defaults.resources).toEqual({ vcpus: 1, memory_mib: 1024 });
    const nothing = { memory: null, cpus: null, volumes: null, ports: null, envs: null, depends_on: null };
    expect(convert({ ...nothing, workdir: null, shell: null, scripts: null, exec: null })).toMatchObject({
      ...defaults,
      runtime: expect.any(Object),
    });
  });

  it('of who is no administrator has volumes by name only', () => {
    expect(convert({ volumes: ['data:/b'] }, false).mounts).toHaveLength(1);
    for (const volume of ['/srv/a:/a', '/c'])
      expect(() => convert({ volumes: [volume] }, false)).toThrow(expect.objectContaining({ code: 'forbidden' }));
  });

  it.each([
    ['a relative path', { volumes: ['./a:/a'] }],
    ['a path that leaves the guest', { volumes: ['data:/a/../b'] }],
    ['a variable without a name', { envs: ['=x'] }],
    ['a variable without a value', { envs: ['x'] }],
    ['more CPUs than there can be', { cpus: 65 }],
  ])('with %s is refused', (_what, config) => {
    expect(() => convert(config)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });
});
