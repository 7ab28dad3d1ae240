/**
 * The name by which Python programs import a server or a skill: `split_bill` for `split-bill`. The guest's `runner.py` finds
 * the folder of a name in the same way; a folder that is spelled exactly so comes first.
 */
export function pythonPackage(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_]/g, '_');
  if (/^[0-9]/.test(plain)) return `_${plain}`;
  return KEYWORDS.has(plain) ? `${plain}_` : plain;
}

const KEYWORDS = new Set(
  `False None True and as assert async await break class continue def del elif else except finally for from global if
  import in is lambda nonlocal not or pass raise return try while with yield`.split(/\s+/),
);
