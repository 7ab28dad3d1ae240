import { expect, test } from 'vitest';
import { splitIdentifier, tokenize } from '../../../src/selector/tokenize.ts';

test.each([
  ['createEntities', ['create', 'entities']],
  ['create_entities', ['create', 'entities']],
  ['create-entities', ['create', 'entities']],
  ['HTTPServer', ['http', 'server']],
  ['getHTTPServerURL', ['get', 'http', 'server', 'url']],
  ['base64Encode', ['base', '64', 'encode']],
  ['QueryHistoryToday', ['query', 'history', 'today']],
  ['Straße', ['straße']],
  ['', []],
])('splitIdentifier() knows the words of %j', (identifier, words) => {
  expect(splitIdentifier(identifier)).toEqual(words);
});

test('tokenize() stems words and leaves out those that say nothing about a tool', () => {
  const terms = tokenize('Please help: I want to create some entities').map(({ term }) => term);
  expect(terms).toEqual(['creat', 'entiti']);
});

test('tokenize() keeps an identifier as a whole beside its words', () => {
  expect(tokenize('use createEntities now')).toEqual([
    { word: 'create', term: 'creat', compound: false },
    { word: 'entities', term: 'entiti', compound: false },
    { word: 'createEntities', term: 'createentities', compound: true },
  ]);
});
