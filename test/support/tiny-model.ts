import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Words that mean the same to the model; a word in no group means nothing. */
export type Meanings = readonly (readonly string[])[];

const DIMENSIONS = 16;
const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]'];

/**
 * Writes a real, very small embedding model, as `@xenova/transformers` loads it: a tokenizer that knows some words, and an
 * ONNX graph of one node that looks up a vector for each. Words of one group share a vector, and those of different groups
 * have nothing in common.
 */
export async function writeTinyModel(folder: string, meanings: Meanings): Promise<void> {
  if (meanings.length > DIMENSIONS) throw new Error(`The tiny model has room for ${DIMENSIONS} meanings`);
  const words = meanings.flat();
  const rows = [
    ...SPECIAL.map(() => new Float32Array(DIMENSIONS)),
    ...meanings.flatMap((group, meaning) => group.map(() => unitVector(meaning))),
  ];
  await mkdir(join(folder, 'onnx'), { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify({ model_type: 'bert', architectures: ['BertModel'] }));
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(TOKENIZER_CONFIG));
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer([...SPECIAL, ...words])));
  await writeFile(join(folder, 'onnx/model_quantized.onnx'), onnxModel(rows));
}

const TOKENIZER_CONFIG = { tokenizer_class: 'BertTokenizer', model_max_length: 512, pad_token: '[PAD]' };

function unitVector(axis: number): Float32Array {
  const vector = new Float32Array(DIMENSIONS);
  vector[axis] = 1;
  return vector;
}

function tokenizer(vocabulary: readonly string[]): object {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({ id, content, special: true, normalized: false })),
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', cls: ['[CLS]', 2], sep: ['[SEP]', 3] },
    decoder: null,
    model: {
      type: 'WordPiece',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary.map((word, id) => [word, id])),
      unk_token: '[UNK]',
    },
  };
}

const [FLOAT, INT64] = [1, 7];

// The fields of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), by number.

function onnxModel(rows: readonly Float32Array[]): Buffer {
  const table = Buffer.concat(rows.map((row) => Buffer.from(row.buffer)));
  const initializer = [
    number(1, rows.length),
    number(1, DIMENSIONS),
    number(2, FLOAT),
    text(8, 'table'),
    bytes(9, table),
  ];
  const node = [text(1, 'table'), text(1, 'input_ids'), text(2, 'last_hidden_state'), text(4, 'Gather')];
  const graph = [
    message(1, node),
    text(2, 'tiny'),
    message(5, initializer),
    message(11, tensor('input_ids', INT64, ['batch', 'sequence'])),
    message(11, tensor('attention_mask', INT64, ['batch', 'sequence'])),
    message(11, tensor('token_type_ids', INT64, ['batch', 'sequence'])),
    message(12, tensor('last_hidden_state', FLOAT, ['batch', 'sequence', DIMENSIONS])),
  ];
  return Buffer.concat([number(1, 8), text(2, 'workcell'), message(7, graph), message(8, [number(2, 13)])]);
}

function tensor(name: string, type: number, shape: readonly (string | number)[]): Buffer[] {
  const dimensions = shape.map((size) => message(1, [typeof size === 'number' ? number(1, size) : text(2, size)]));
  return [text(1, name), message(2, [message(1, [number(1, type), message(2, dimensions)])])];
}

function number(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)]);
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value));
}

function message(field: number, parts: readonly Buffer[]): Buffer {
  return bytes(field, Buffer.concat(parts));
}

function bytes(field: number, content: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
}

function varint(value: number): Buffer {
  const groups = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) groups.push(rest & 0x7f);
  return Buffer.from(groups.map((group, index) => (index < groups.length - 1 ? group | 0x80 : group)));
}
