/**
 * The type that a client would have, of those that are offered, by the quality that its `Accept` gives each (RFC 9110, section
 * 12.5.1); among equals the first. Undefined when it takes none of them.
 */
export function acceptedType(header: string | undefined, offered: readonly string[]): string | undefined {
  const ranges = (header ?? '*/*').split(',').flatMap(rangeOf);
  const ranked = offered.map((type) => ({ type, quality: qualityOf(type, ranges) }));
  const best = Math.max(...ranked.map(({ quality }) => quality));
  return best <= 0 ? undefined : ranked.find(({ quality }) => quality === best)?.type;
}

interface Range {
  readonly pattern: string;
  readonly quality: number;
}

function rangeOf(text: string): readonly Range[] {
  const [pattern = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  if (pattern === '') return [];
  const given = parameters.find((parameter) => parameter.startsWith('q='));
  const quality = given === undefined ? 1 : Number(given.slice(2));
  return [{ pattern, quality: quality >= 0 && quality <= 1 ? quality : 0 }];
}

/** Of the most specific range that fits. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  const fits = [type, `${type.split('/')[0]}/*`, '*/*'];
  for (const pattern of fits) {
    const range = ranges.find((each) => each.pattern === pattern);
    if (range !== undefined) return range.quality;
  }
  return 0;
}
