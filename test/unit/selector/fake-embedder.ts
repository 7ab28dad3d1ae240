import type { Embedder } from '../../../src/selector/embedder.ts';

/** Words that mean the same share a direction; those in no group mean nothing. */
export function fakeEmbedder(meanings: readonly (readonly string[])[]): Embedder {
  return {
    fingerprint: 'fake',
    embed: async (text) => {
      const words = text.toLowerCase().match(/\p{L}+/gu) ?? [];
      const counts = meanings.map((group) => words.filter((word) => group.includes(word)).length);
      const length = Math.hypot(...counts);
      return Float32Array.from(counts, (count) => (length === 0 ? 0 : count / length));
    },
  };
}
