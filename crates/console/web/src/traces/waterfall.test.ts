import { describe, expect, test } from 'vitest';
import type { Span } from '../api/types';
import { COLOURS, inSight, ticks, waterfall } from './waterfall';

const span = (id: string, parent: string | null, offset: number, length: number, service = 'shop', code = 'unset'): Span => ({
  span_id: id,
  parent_span_id: parent,
  service,
  operation: `GET /${id}`,
  kind: 'server',
  start: '2030-01-01T00:00:00Z',
  offset_ns: offset,
  duration_ns: length,
  status: { code, message: null },
  attributes: null,
  events: null,
  resource: null,
});
const of = (...spans: Span[]) => waterfall({ spans, duration_ns: 0 });
const outline = (...spans: Span[]) => of(...spans).rows.map(({ span: { span_id }, depth }) => '.'.repeat(depth) + span_id);

describe('rows', () => {
  test('put children below their parent in the order of their start', () => {
    expect(outline(span('c', 'a', 50, 1), span('d', 'b', 20, 1), span('a', null, 0, 100), span('b', 'a', 10, 30))).toEqual([
      'a',
      '.b',
      '..d',
      '.c',
    ]);
  });

  test('keep a span whose parent is missing, and mark it', () => {
    const { rows } = of(span('a', null, 0, 10), span('lost', 'nobody', 5, 1));
    expect(rows.map(({ orphan, depth }) => [orphan, depth])).toEqual([
      [false, 0],
      [true, 0],
    ]);
  });

  test('place spans whose parents form a circle, each once', () => {
    expect(outline(span('a', 'b', 0, 1), span('b', 'a', 1, 1), span('self', 'self', 2, 1)).sort()).toEqual(['.b', 'a', 'self']);
  });

  test('walk a chain of ten thousand without running out of stack', () => {
    const chain = Array.from({ length: 10_000 }, (_, i) => span(`s${i}`, i === 0 ? null : `s${i - 1}`, i, 1));
    expect(of(...chain).rows[9_999]!.depth).toBe(9_999);
  });
});

describe('bars', () => {
  test('are shares of the whole', () => {
    const { rows, total_ns } = of(span('a', null, 0, 200), span('b', 'a', 50, 100));
    expect(total_ns).toBe(200);
    expect(rows[1]).toMatchObject({ left: 0.25, width: 0.5 });
  });

  test('stay inside when a clock ran ahead and when a child outlives the root', () => {
    const { rows, start_ns } = of(span('a', null, 0, 100), span('early', 'a', -50, 10), span('late', 'a', 90, 60));
    expect(start_ns).toBe(-50);
    for (const { left, width } of rows) {
      expect(left).toBeGreaterThanOrEqual(0);
      expect(left + width).toBeLessThanOrEqual(1 + 1e-9);
    }
  });

  test('of a trace without any duration have none, and no NaN', () => {
    expect(of(span('a', null, 0, 0)).rows[0]).toMatchObject({ left: 0, width: 0 });
  });

  test('have one colour per service, in order of appearance', () => {
    const made = of(span('a', null, 0, 9, 'shop'), span('b', 'a', 1, 1, 'pay', 'error'), span('c', 'a', 2, 1, 'shop'));
    expect(made.services).toEqual([
      { service: 'shop', colour: 0, spans: 2, failed: 0 },
      { service: 'pay', colour: 1, spans: 1, failed: 1 },
    ]);
    const many = of(...Array.from({ length: 20 }, (_, i) => span(`s${i}`, null, i, 1, `service-${i}`)));
    expect(Math.max(...many.rows.map(({ colour }) => colour))).toBe(COLOURS - 1);
  });
});

test.each([
  [1_000, 5, [0, 200, 400, 600, 800, 1_000]],
  [1_234_567, 4, [0, 500_000, 1_000_000]],
  [7, 10, [0, 1, 2, 3, 4, 5, 6, 7]],
  [1, 6, [0, 1]],
])('the ticks of %d ns, at most %d, are round', (total, most, expected) => {
  expect(ticks(total, most).map(({ ns }) => ns)).toEqual(expected);
});

test('only the rows in sight are drawn', () => {
  expect(inSight(10_000, 24, 24_000, 480, 5)).toEqual({ first: 995, end: 1025 });
  expect(inSight(3, 24, 0, 480)).toEqual({ first: 0, end: 3 });
  expect(inSight(0, 24, 500, 480)).toEqual({ first: 0, end: 0 });
});
