import { describe, expect, test } from 'vitest';
import { en, type Key } from './en';
import { fill, pieces, placeholders } from './message';
import { zh } from './zh';

const keys = Object.keys(en) as Key[];

describe('the catalogues', () => {
  test('hold the same keys', () => {
    expect(Object.keys(zh).sort()).toEqual([...keys].sort());
  });

  test.each(keys)('agree on the placeholders of %s and leave nothing empty', (key) => {
    expect(zh[key].trim()).not.toBe('');
    expect(placeholders(zh[key])).toEqual(placeholders(en[key]));
  });

  test('have Chinese in the Chinese one, except for names and units', () => {
    const latin = keys.filter((key) => !/[\u4e00-\u9fff]/.test(zh[key]));
    expect(latin).toEqual(['table.p50', 'table.p90', 'table.p99', 'foot.version']);
  });
});

describe('filling a message', () => {
  test('sets the values off from the text', () => {
    expect(pieces('{caller} calls {service}.', { caller: 'a', service: 'b' })).toEqual([
      { text: 'a', value: 'caller' },
      { text: ' calls ', value: null },
      { text: 'b', value: 'service' },
      { text: '.', value: null },
    ]);
  });

  test('chooses by number', () => {
    const message = '{n} {n?span|spans}';
    expect([0, 1, 2].map((n) => fill(message, { n }))).toEqual(['0 spans', '1 span', '2 spans']);
  });

  test('never fills a value a second time', () => {
    expect(fill('{a}{b}', { a: '{b}', b: '<i>' })).toBe('{b}<i>');
  });
});

const sources = import.meta.glob<string>(['../**/*.svelte', '../**/*.ts', '!../**/*.test.ts', '!./en.ts', '!./zh.ts'], {
  query: '?raw',
  import: 'default',
  eager: true,
});

describe('the sources', () => {
  const all = Object.values(sources).join('\n');

  test('use every message', () => {
    // Keys that are put together: t(`health.${health}`) uses all of health.
    const families = [...all.matchAll(/[`'](\w+(?:\.\w+)*)(?:\.\$\{|', )/g)].map((match) => `${match[1]}.`);
    const unused = keys.filter((key) => !all.includes(`'${key}'`) && !families.some((family) => key.startsWith(family)));
    expect(unused).toEqual([]);
  });

  test('never turn text into markup', () => {
    for (const [file, source] of Object.entries(sources)) {
      expect(source, file).not.toMatch(/\{@html|innerHTML|outerHTML|insertAdjacentHTML|document\.write/);
    }
  });
});
