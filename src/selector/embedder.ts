/** Turns a text into a vector that stands for its meaning. */
export interface Embedder {
  /** Differs between two embedders that may give one text different vectors. */
  readonly fingerprint: string;
  /** A vector of unit length, always as long as the others; the same text gets the same one. */
  embed(text: string): Promise<Float32Array>;
}
