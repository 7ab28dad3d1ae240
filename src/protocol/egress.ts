/**
 * How a guest without a network reaches what its policy allows: programs talk to a proxy on the guest's loopback, and its
 * connections travel as streams (`stream-mux.ts`) over one byte stream to the host, which applies the policy.
 */
export const EGRESS_PORT = 3128;

/** The variables by which programs in the guest find the proxy; `KEY=value` each. */
export function egressEnvironment(): readonly string[] {
  const proxy = `http://127.0.0.1:${EGRESS_PORT}`;
  const local = 'localhost,127.0.0.1,::1';
  return [
    ...['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy'].map((name) => `${name}=${proxy}`),
    ...['NO_PROXY', 'no_proxy'].map((name) => `${name}=${local}`),
    // Node's own fetch follows the variables only when told to.
    'NODE_USE_ENV_PROXY=1',
  ];
}
