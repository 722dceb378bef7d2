import { describe, expect, test } from 'vitest';
import { boxOf, line, scale } from './geometry';

const series = (...points: [number, number][]) => [{ labels: {}, points }];

describe('a line', () => {
  test('goes from corner to corner, zero at the bottom', () => {
    const of = series([0, 0], [10, 4]);
    expect(line(of[0]!.points, boxOf(of), 100, 40)).toBe('M0 40h0L100 0');
  });
  test('breaks where a value is no number or a step is missing', () => {
    const of = series([0, 1], [1, NaN], [2, 1], [9, 1]);
    expect(line(of[0]!.points, boxOf(of), 90, 10, 1).match(/M/g)).toHaveLength(3);
  });
  test('of nothing is nothing, and its box is still a box', () => {
    const box = boxOf(series());
    expect(box.to).toBeGreaterThan(box.from);
    expect(box.high).toBeGreaterThan(box.low);
    expect(line([], box, 10, 10)).toBe('');
  });
});

describe('an axis', () => {
  test.each([
    [0, 1, [0, 0.5, 1]],
    [0, 100, [0, 50, 100]],
    [0, 0.003, [0, 0.001, 0.002, 0.003]],
    [0, 42, [0, 20, 40, 60]],
  ])('from %d to %d has round values that hold it', (low, high, expected) => {
    expect(scale(low, high)).toEqual(expected);
  });
});
