/** Up to `limit` of `names` that a reader may have meant by `wanted`, best first; empty when nothing is close. */
export function nearest(wanted: string, names: Iterable<string>, limit = 1): readonly string[] {
  const target = wanted.toLowerCase();
  return [...names]
    .map((name) => ({ name, distance: distanceTo(target, name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(2, Math.floor(Math.max(target.length, name.length) / 3)))
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, limit)
    .map(({ name }) => name);
}

/** Levenshtein distance, except that a part of a name is one step away from it. */
function distanceTo(wanted: string, name: string): number {
  if (wanted === name) return 0;
  if (wanted.length > 2 && name.includes(wanted)) return 1;
  let row = Array.from({ length: name.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...wanted].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= name.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (name[column - 1] === letter ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[name.length] ?? 0;
}
