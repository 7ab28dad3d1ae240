/** The most characters of one text that a model is shown; the rest can be read as a resource. About 3,000 tokens. */
export const SHOWN = 12_000;

export interface Clipped {
  readonly text: string;
  readonly isWhole: boolean;
}

/** The beginning and the end of a text that is too long: programs say at the end what they found. */
export function clip(text: string, most: number = SHOWN): Clipped {
  if (text.length <= most) return { text, isWhole: true };
  const head = withoutHalf(text.slice(0, Math.ceil(most * 0.6)));
  const tail = text.slice(text.length - Math.floor(most * 0.4)).replace(/^[\udc00-\udfff]/, '');
  const left = text.length - head.length - tail.length;
  return { text: `${head}\n[… ${left} characters left out …]\n${tail}`, isWhole: false };
}

/** Half of a surrogate pair is no text. */
function withoutHalf(text: string): string {
  return text.replace(/[\ud800-\udbff]$/, '');
}
