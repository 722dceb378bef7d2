import { describe, expect, test } from 'vitest';
import { completions } from './completion';

const known = { services: ['shop', 'shop "two"'], operations: ['GET /items/{id}'] };

describe('what may come next in a query', () => {
  test('begins with what stands there already', () => {
    expect(completions('error=true AND ser', known)).toEqual([
      'error=true AND service=',
      'error=true AND service=shop',
      'error=true AND service="shop \\"two\\""',
    ]);
  });
  test('after a comparison is a word that joins', () => {
    expect(completions('error=true ', known).slice(0, 3)).toEqual(['error=true AND', 'error=true OR', 'error=true NOT']);
  });
  test('after such a word is a key', () => {
    expect(completions('error=true OR d', known)).toEqual(['error=true OR duration>']);
  });
  test('knows values, quoted where they must be', () => {
    expect(completions('operation=', known)).toEqual(['operation="GET /items/{id}"']);
  });
  test('of nothing are the keys', () => {
    expect(completions('', known)[0]).toBe('service=');
  });
});
