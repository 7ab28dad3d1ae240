/**
 * Text of others without what could steer a terminal or make it look different from what it is: control and format
 * characters (such as those that reverse the direction of text) and lone surrogates. Line breaks and tabs stay.
 */
export function printable(text: string): string {
  return text.replace(/\r\n?|[\u2028\u2029]/g, '\n').replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, keep);
}

function keep(character: string): string {
  return character === '\n' || character === '\t' ? character : '';
}
