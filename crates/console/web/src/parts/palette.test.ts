import { describe, expect, test } from 'vitest';
import { ranked, SHOWN, traceIdIn, type Command } from './palette';

const of = (...names: string[]): Command[] => names.map((name) => ({ id: name, group: 'service', name }));
const names = (commands: Command[]) => commands.map(({ name }) => name);

describe('the palette', () => {
  test('offers what begins with the words first, and the shorter one of two', () => {
    expect(names(ranked(of('prepay', 'payments-eu', 'payments', 'cart'), 'pay'))).toEqual(['payments', 'payments-eu', 'prepay']);
  });
  test('wants every word to be found, also in the group', () => {
    expect(names(ranked(of('payments', 'cart'), 'service car'))).toEqual(['cart']);
    expect(ranked(of('payments'), 'payments x')).toEqual([]);
  });
  test('keeps the order of things while nothing is typed, and never shows too many', () => {
    const many = of(...Array.from({ length: 40 }, (_, i) => `s${i}`));
    expect(names(ranked(many, ''))).toEqual(names(many).slice(0, SHOWN));
  });
  test('knows a trace id, and nothing else, as one', () => {
    expect(traceIdIn(' 0AF7651916CD43DD8448EB211C80319C ')).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(traceIdIn('0af7')).toBeNull();
    expect(traceIdIn('payments')).toBeNull();
  });
});
