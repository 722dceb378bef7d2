import { describe, expect, test } from 'vitest';
import { ageUnit, bytes, count, duration, percent, plain, rate, secondsSince, timeOfDay } from './format';

const bare = (text: string) => text.replaceAll('\u202F', ' ');

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [384 * 1024 ** 2, '384 MiB'],
  [1.5 * 1024 ** 3, '1.5 GiB'],
  [2 ** 60, '1048576 TiB'],
])('%d bytes are %s', (value, text) => expect(bare(bytes(value))).toBe(text));

describe('durations', () => {
  test.each([
    [0, '0 ns'],
    [1, '1 ns'],
    [999, '999 ns'],
    [999.6, '1 µs'],
    [1_000, '1 µs'],
    [12_345, '12.3 µs'],
    [999_499, '999 µs'],
    [999_500, '1 ms'],
    [1_234_567, '1.23 ms'],
    [250e6, '250 ms'],
    [1.5e9, '1.5 s'],
    [59.9e9, '59.9 s'],
    [59.99e9, '60 s'],
    [60e9, '1 m'],
    [119.6e9, '2 m'],
    [3_661e9, '1 h 1 m'],
    [90_000e9, '1 d 1 h'],
    [86_401e9, '1 d'],
    [-12_345, '-12.3 µs'],
  ])('%d ns reads %s', (ns, text) => {
    expect(bare(duration(ns))).toBe(text);
  });

  test('no duration is a dash, not a number', () => {
    expect(duration(null)).toBe('–');
    expect(duration(Number.NaN)).toBe('–');
  });
});

test.each([
  [0, '0/s'],
  [0.02, '1.2/min'],
  [0.4, '0.4/s'],
  [12.345, '12.3/s'],
  [1234, '1234/s'],
  [45_678, '45.7k/s'],
])('a rate of %d reads %s', (perSecond, text) => expect(rate(perSecond)).toBe(text));

test.each([
  [0, '0%'],
  [0.0004, '<0.1%'],
  [0.025, '2.5%'],
  [0.1234, '12.3%'],
  [0.9996, '>99.9%'],
  [1, '100%'],
])('a ratio of %d reads %s', (ratio, text) => expect(percent(ratio)).toBe(text));

test.each([
  [0, '0'],
  [9999, '9999'],
  [12_345, '12.3k'],
  [999_500, '1M'],
  [4_560_000, '4.56M'],
  [7.5e9, '7.5G'],
])('a count of %d reads %s', (value, text) => expect(count(value)).toBe(text));

describe('ages', () => {
  const now = Date.parse('2030-01-01T00:01:00Z');

  test('are whole seconds, and a clock that runs ahead is no negative age', () => {
    expect(secondsSince('2030-01-01T00:00:18.123456789Z', now)).toBe(41);
    expect(secondsSince('2030-01-01T00:02:00Z', now)).toBe(0);
    expect(secondsSince('yesterday', now)).toBeNull();
    expect(secondsSince(null, now)).toBeNull();
  });

  test('say their largest unit', () => {
    expect(ageUnit(1)).toEqual({ unit: 'now', n: 0 });
    expect(ageUnit(59)).toEqual({ unit: 's', n: 59 });
    expect(ageUnit(119)).toEqual({ unit: 'm', n: 1 });
    expect(ageUnit(7200)).toEqual({ unit: 'h', n: 2 });
    expect(ageUnit(200_000)).toEqual({ unit: 'd', n: 2 });
  });
});

test('a time of day has all its digits, and nonsense is a dash', () => {
  expect(timeOfDay('2030-01-01T00:02:03Z')).toMatch(/^\d\d:02:03$/);
  expect(timeOfDay('soon')).toBe('–');
});

test('attributes of any shape become text', () => {
  expect(plain('a<b')).toBe('a<b');
  expect(plain(3)).toBe('3');
  expect(plain(['x', 1])).toBe('["x",1]');
  expect(plain(undefined)).toBe('');
});
