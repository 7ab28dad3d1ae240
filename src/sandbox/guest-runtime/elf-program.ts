/** Memory that a program finds zeroed at this address. */
export interface ElfMemory {
  readonly address: number;
  readonly bytes: number;
}

/** A static ELF64 executable for x86-64: one segment that is loaded as a whole, and `memory` if it is asked for. */
export function elfProgram(code: Uint8Array, memory?: ElfMemory): Uint8Array {
  const segments = memory === undefined ? 1 : 2;
  const header = Buffer.alloc(FILE_HEADER_BYTES + segments * SEGMENT_HEADER_BYTES);
  const fileBytes = header.byteLength + code.byteLength;
  header.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  header.writeUInt16LE(2, 16); // ET_EXEC
  header.writeUInt16LE(62, 18); // EM_X86_64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(LOAD_ADDRESS + header.byteLength), 24); // entry
  header.writeBigUInt64LE(BigInt(FILE_HEADER_BYTES), 32); // program headers
  header.writeUInt16LE(FILE_HEADER_BYTES, 52);
  header.writeUInt16LE(SEGMENT_HEADER_BYTES, 54);
  header.writeUInt16LE(segments, 56);
  segment(header, 0, { flags: 5, address: LOAD_ADDRESS, fileBytes, memoryBytes: fileBytes }); // read, execute
  if (memory !== undefined) {
    segment(header, 1, { flags: 6, address: memory.address, fileBytes: 0, memoryBytes: memory.bytes }); // read, write
  }
  return Buffer.concat([header, code]);
}

const FILE_HEADER_BYTES = 64;
const SEGMENT_HEADER_BYTES = 56;
const LOAD_ADDRESS = 0x400000;
const PAGE_BYTES = 0x1000;

interface Segment {
  readonly flags: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
}

function segment(header: Buffer, index: number, { flags, address, fileBytes, memoryBytes }: Segment): void {
  const at = FILE_HEADER_BYTES + index * SEGMENT_HEADER_BYTES;
  header.writeUInt32LE(1, at); // PT_LOAD
  header.writeUInt32LE(flags, at + 4);
  header.writeBigUInt64LE(BigInt(address), at + 16);
  header.writeBigUInt64LE(BigInt(address), at + 24);
  header.writeBigUInt64LE(BigInt(fileBytes), at + 32);
  header.writeBigUInt64LE(BigInt(memoryBytes), at + 40);
  header.writeBigUInt64LE(BigInt(PAGE_BYTES), at + 48);
}
