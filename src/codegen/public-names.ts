import type { ToolDescriptor } from '../core/tool.ts';
import { wordsOf } from './identifiers.ts';

/**
 * Tells which names of properties in the results of one server's tools may be shown to everybody: those that consist of
 * words that the server itself has published, in names, descriptions and schemas, and of words that every API uses.
 *
 * Results belong to the customer who asked, and a name in them can be data: a person, a file, an id. How often a name
 * comes, and from how many customers, is no proof of the opposite, because a customer can make a tool repeat a name in
 * order to learn whether others have it too. What was public before is no secret.
 */
export function publicNames(tools: readonly ToolDescriptor[]): (name: string) => boolean {
  const published = tools.map(({ server, tool, description, inputSchema }) => [server, tool, description, inputSchema]);
  const words = new Set([...wordsOf(JSON.stringify(published)), ...COMMON]);
  const isPublic = (word: string) => words.has(word) || words.has(word.replace(/s$/, '')) || words.has(`${word}s`);
  return (name) => SHAPE.test(name) && wordsOf(name).every((word) => /^\d{1,2}$/.test(word) || isPublic(word));
}

/** A name that code would use, with a letter in it. */
const SHAPE = /^(?!__)[$@]?(?=.*[A-Za-z])[A-Za-z_][\w-]{0,63}$/;

/** Words that say nothing of anybody. */
const COMMON = `
  access account accuracy action active actual added address after age alias all allowed amount and annotations any api app
  archived args arguments assignee assignees at attachment attachments attributes audio author authors available average
  balance base before begin blob block body branch bucket buffer build by bytes cache cached call calls cancelled can
  capacity categories category cells change changed changes channel channels charset check child children city class
  client closed cluster code codes col collection color column columns comment comments commit commits completed config
  confidence connection content contents context coordinates cost count country created creator currency current cursor
  data database date datetime day days default deleted delta description destination detail details diff dimensions
  directories directory disabled distance document documents domain done download draft due duration edges edit edited
  elapsed email emails empty enabled encoding end ended endpoint entities entity entries entry env error errors event
  events exists expires extension field fields file filename files filter filters finished first flags folder folders
  footer for format forks found free frequency from full function functions group groups has hash head header headers
  height hidden high history host hour hours html http https icon id identifier ids image images in index info input
  insertions instance integer interval is issue issues item items job jobs join key keys kind label labels lang language
  last lat latitude length level license limit line lines link links list lng load local locale location locked login logs
  lon longitude low mask max maximum mean median members merged message messages meta metadata method metrics mime min
  minimum minute minutes mode model modified module modules month name names namespace next node nodes note notes null
  number object objects of offset old on only open opened operation operations optional options order orders organization
  origin original output outputs owner package packages page pages parameters params parent parents parts password path
  paths payload pending percent percentage permission permissions phone pid pinned platform port position postal prefix
  preview previous price primary priority private process product products profile progress project projects properties
  property protected protocol provider public published pull quantity query queue range rank rate rating raw read reason
  records ref reference references region registered related relation relations release released remaining remote removed
  replies reply repo repositories repository request requests required resolution resource resources response result
  results retries retry reviews role roles root row rows rule rules run running runs sample schema scope score scores
  second seconds section secure selected sender sent sequence series server servers service services session sessions set
  settings sha shape short signature size skipped slug snippet some sort source sources stack stage start started state
  states statistics stats status statuses step steps stop stopped storage street string structured style subject success
  suffix sum summary support symbol table tables tag tags target task tasks team teams temperature template test tests text
  thread threads thumbnail time timeout times timestamp timezone title to token tokens tool tools topic topics total totals
  transaction transactions tree truncated ttl type types unit units unread unit update updated updates upload uri uris url
  urls usage used user username users uuid valid value values variables vector verified version versions video view views
  visibility visible volume warning warnings weight width word words worker workflow workspace write year years zip zone
`
  .trim()
  .split(/\s+/);
