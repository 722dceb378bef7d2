import { expect, test } from 'vitest';
import { completionsOf } from './completion';

const check = (text: string, expected: string[]) => expect(completionsOf(text, ['calls_total', 'call_seconds'])).toEqual(expected);

test('a metric is completed where one may stand', () => check('rate(call_', ['rate(call_seconds']));
test('a function is completed as well', () => check('histo', ['histogram_quantile(0.99, ']));
test('labels are not mistaken for metrics', () => check('calls_total{c', []));
