import { describe, expect, test } from 'vitest';
import { diff } from './diff';

const check = (before: string, after: string) => diff(before, after).map(({ mark, text }) => mark + text);

describe('a difference', () => {
  test('of the same is nothing', () => {
    expect(check('a\nb', 'a\nb')).toEqual([' a', ' b']);
  });
  test('keeps what both have, in order', () => {
    expect(check('a\nb\nc', 'a\nx\nc\nd')).toEqual([' a', '-b', '+x', ' c', '+d']);
  });
  test('from nothing is everything', () => {
    expect(check('', 'a')).toEqual(['+a']);
    expect(check('a', '')).toEqual(['-a']);
  });
  test('of huge documents is still an answer', () => {
    const many = Array.from({ length: 3000 }, (_, i) => `${i}`).join('\n');
    expect(diff(many, `${many}\nx`)).toHaveLength(6001);
  });
});
