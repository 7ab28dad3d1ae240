import { stemmer } from 'stemmer';

export interface Synonym {
  readonly word: string;
  readonly term: string;
}

/** What often stands for `term` in requests and tool names. */
export function synonymsOf(term: string): readonly Synonym[] {
  return SYNONYMS.get(term) ?? [];
}

/** True for the verbs that so many tools share that they hardly tell one from another. */
export function isActionVerb(term: string): boolean {
  return ACTION_VERBS.has(term);
}

const SYNONYM_GROUPS = `
add sum addition
subtract subtraction
multiply multiplication
divide division quotient
calculate compute evaluate math
create make new generate build
remove delete erase drop clear
update modify edit change replace
find search lookup locate query look
get fetch retrieve read obtain show
list enumerate
send post publish submit
open view display see
save store write remember record
rename move
file document text
folder directory
picture image photo
movie film
buy purchase shop order
cheap affordable discount coupon deal
price cost
job career employment
house property home estate
trip travel vacation holiday
flight airline airfare
restaurant dining eat
recipe cook meal food
song music track
news headline article
weather forecast temperature
translate language translation
email mail message
meeting appointment calendar schedule
person people user
website web page url link site internet
company business organization
stock share market finance
paper research academic
doctor medical health
lawyer legal law
kid child children
car vehicle auto`;

const SYNONYMS = readGroups(SYNONYM_GROUPS);

const ACTION_VERBS = new Set(
  `access add analyze assist build calculate change check choose compare compute convert create delete determine discover
  display download edit estimate evaluate execute explain explore fetch find generate handle list load locate look make
  manage modify obtain offer open perform process produce read receive recommend remove retrieve return run save search
  see select send set solve start store submit suggest track update upload use view write`
    .split(/\s+/)
    .map(stemmer),
);

function readGroups(text: string): Map<string, Synonym[]> {
  const synonyms = new Map<string, Synonym[]>();
  for (const line of text.trim().split('\n')) {
    const group = line.split(' ').map((word) => ({ word, term: stemmer(word) }));
    for (const { term } of group) {
      const others = group.filter((other) => other.term !== term);
      synonyms.set(term, [...(synonyms.get(term) ?? []), ...others]);
    }
  }
  return synonyms;
}
