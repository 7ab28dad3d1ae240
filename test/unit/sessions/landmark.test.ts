import { describe, expect, test } from 'vitest';
import {
  decodeLandmark,
  encodeLandmark,
  LANDMARK_BYTES,
  type Landmark,
  landmarkAfter,
} from '../../../src/sessions/landmark.ts';

const started: Landmark = {
  type: 'execution.started',
  executionId: 'e'.repeat(63),
  seq: 2 ** 40,
  start: 2 ** 41,
  end: 2 ** 41 + 2 ** 31,
  executions: 7,
};
const line = (type: string, start: number, end: number, executionId?: string) => ({
  type,
  executionId,
  seq: 9,
  start,
  end,
});
const MIB = 1024 * 1024;

describe('encodeLandmark()', () => {
  test('makes bytes of one size that read back the same', () => {
    const bytes = encodeLandmark(started, 3);
    expect(bytes).toHaveLength(LANDMARK_BYTES);
    expect(decodeLandmark(bytes, 3)).toEqual(started);
  });

  test('makes bytes that are no landmark in another place, or with any bit changed', () => {
    const bytes = encodeLandmark(started, 3);
    expect(decodeLandmark(bytes, 2)).toBeUndefined();
    expect(decodeLandmark(Buffer.alloc(LANDMARK_BYTES), 3)).toBeUndefined();
    for (let bit = 0; bit < LANDMARK_BYTES * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeLandmark(changed, 3), `bit ${bit}`).toBeUndefined();
    }
  });
});

describe('landmarkAfter()', () => {
  test('counts the executions that have started', () => {
    expect(landmarkAfter(undefined, line('execution.started', 0, 10, 'e1'))).toMatchObject({ executions: 1 });
    expect(landmarkAfter(started, line('execution.started', 0, 10, 'e1'))).toMatchObject({ executions: 8 });
    expect(landmarkAfter(started, line('execution.finished', 0, 10, 'e1'))).toMatchObject({ executions: 7 });
  });

  test('passes over what lies between, but for one line in each mebibyte', () => {
    const previous = { ...started, end: 100 };
    expect(landmarkAfter(previous, line('output', 100, 100 + MIB - 1, 'e1'))).toBeUndefined();
    expect(landmarkAfter(previous, line('output', 100, 100 + MIB, 'e1'))).toMatchObject({
      type: 'mark',
      executionId: '',
    });
  });

  test('passes over an execution whose id no register could hold', () => {
    expect(landmarkAfter(undefined, line('execution.started', 0, 10, 'e'.repeat(64)))).toBeUndefined();
    expect(landmarkAfter(undefined, line('execution.started', 0, 10, 'é'.repeat(32)))).toBeUndefined();
  });
});
