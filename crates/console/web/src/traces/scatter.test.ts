import { describe, expect, test } from 'vitest';
import type { TraceSummary } from '../api/types';
import { boxed, scatter } from './scatter';

const trace = (ms: number, duration_ns: number): TraceSummary => ({
  trace_id: String(ms),
  root: null,
  start: new Date(ms).toISOString(),
  duration_ns,
  spans: 1,
  errors: 0,
  services: [],
  incomplete: false,
});

describe('traces among each other', () => {
  test('stand by time and by the power of ten of their duration', () => {
    const { dots, marks } = scatter([trace(1000, 1e6), trace(2000, 1e8)], 1000, 3000);
    expect(dots.map(({ x, y }) => [x, y])).toEqual([[0, 1], [0.5, 0]]);
    expect(marks.map(({ ns }) => ns)).toEqual([1e6, 1e7, 1e8]);
  });
  test('of none are an empty field that still has a scale', () => {
    expect(scatter([], 0, 1).marks.length).toBeGreaterThan(1);
  });
  test('in a box are a search, whichever corner came first', () => {
    const field = scatter([trace(1000, 1e6), trace(2000, 1e8)], 0, 4000);
    const found = boxed(field, { x: 0.5, y: 0.5 }, { x: 0.25, y: 0 });
    expect(found).toEqual({ from: '1970-01-01T00:00:01.000Z', to: '1970-01-01T00:00:02.000Z', min: '10000000ns', max: '100000000ns' });
    expect(boxed(field, { x: 0.5, y: 0.5 }, { x: 0.5, y: 0.5 })).toBeNull();
  });
});
