export type NetworkPolicy = Readonly<Record<string, unknown>>;
