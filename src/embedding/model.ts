/** One file of a model. */
export interface ModelFile {
  readonly path: string;
  readonly sha256: string;
}

/** A model as its publisher has it, down to the byte. */
export interface Model {
  readonly name: string;
  /** Where its files are; each path is below it. */
  readonly url: string;
  /** What the files weigh together, about. */
  readonly bytes: number;
  readonly files: readonly ModelFile[];
}

const REVISION = '751bff37182d3f1213fa05d7196b954e230abad9';

/**
 * all-MiniLM-L6-v2 (Apache-2.0), quantised to eight bits: 384 numbers a text. A fixed revision with fixed hashes, because
 * what is downloaded is handed to a native library.
 */
export const MINILM: Model = {
  name: 'all-MiniLM-L6-v2',
  url: `https://huggingface.co/Xenova/all-MiniLM-L6-v2/resolve/${REVISION}`,
  bytes: 23_685_047,
  files: [
    { path: 'config.json', sha256: '7135149f7cffa1a573466c6e4d8423ed73b62fd2332c575bf738a0d033f70df7' },
    { path: 'tokenizer_config.json', sha256: '9261e7d79b44c8195c1cada2b453e55b00aeb81e907a6664974b4d7776172ab3' },
    { path: 'tokenizer.json', sha256: 'da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0' },
    { path: 'onnx/model_quantized.onnx', sha256: 'afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1' },
  ],
};
