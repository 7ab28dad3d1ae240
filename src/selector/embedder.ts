/** Turns a text into a vector that stands for its meaning. */
export interface Embedder {
  /** Differs between two embedders that may give one text different vectors. */
  readonly fingerprint: string;
  /** A vector of unit length, or of zeros for a text that means nothing; all have as many numbers, and a text always the same. */
  embed(text: string): Promise<Float32Array>;
}
