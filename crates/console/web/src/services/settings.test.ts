import { expect, test } from 'vitest';
import { settings } from './settings';

test('settings are named by the way to them, and what is off is left out', () => {
  expect(settings({ threshold: { of: 5 }, ratio: null, on: ['a', 'b'], none: [] })).toEqual([
    { name: 'threshold.of', says: '5' },
    { name: 'on', says: 'a, b' },
  ]);
});

test('a section that is off has no settings', () => {
  expect(settings(null)).toEqual([]);
  expect(settings([])).toEqual([]);
});

test('each rule of a list keeps its place', () => {
  expect(settings([{ rate: 1 }, { rate: 2 }])).toEqual([
    { name: '[0].rate', says: '1' },
    { name: '[1].rate', says: '2' },
  ]);
});
