import { describe, expect, test } from 'vitest';
import { quoted } from '../api/prometheus';
import { rangeBetween, rangeOf, signal } from './signals';

describe('the golden signals', () => {
  test('count calls once, from the side of the caller', () => {
    expect(signal('rate', 'default', null, '5m')).toBe(
      'sum by (service) (rate(bellwether_calls_total{namespace="default",reporter="source"}[20s]))',
    );
  });
  test('escape names, whatever they are', () => {
    expect(quoted('a"b\\c\nd')).toBe('"a\\"b\\\\c\\nd"');
    expect(signal('errors', 'n', '"} or vector(1)', '1h')).toContain('service="\\"} or vector(1)"');
  });
  test('keep their points where they are from one second to the next', () => {
    expect(rangeOf('5m', 1_000_001_000)).toEqual({ start: 999_700, end: 1_000_000, step: 5 });
    expect(rangeOf('5m', 1_000_004_000)).toEqual(rangeOf('5m', 1_000_001_000));
  });
});

test('a range that was boxed in has as many points as any, and one that makes no sense is none', () => {
  expect(rangeBetween('2026-01-01T00:00:00Z', '2026-01-01T00:02:00Z')).toEqual({ start: 1767225600, end: 1767225720, step: 2 });
  expect(rangeBetween('2026-01-01T00:02:00Z', '2026-01-01T00:00:00Z')).toBeNull();
  expect(rangeBetween('2026-01-01T00:00:00Z', '2026-01-01T00:00:05Z')).toBeNull();
  expect(rangeBetween('yesterday', null)).toBeNull();
  expect(rangeBetween(null, null)).toBeNull();
});
