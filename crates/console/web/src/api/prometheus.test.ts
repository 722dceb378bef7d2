import { expect, test } from 'vitest';
import { exemplarsOf } from './prometheus';

const trace = '0af7651916cd43dd8448eb211c80319c';

test('exemplars are the newest first, whichever label names the trace', () => {
  const found = [
    { labels: { trace_id: trace }, value: '0.2', timestamp: 1 },
    { labels: { traceID: trace.toUpperCase() }, value: '0.3', timestamp: 2.5 },
  ];
  expect(exemplarsOf(found)).toEqual([
    { at: 2.5, value: 0.3, traceId: trace },
    { at: 1, value: 0.2, traceId: trace },
  ]);
});

test('an exemplar that names no trace, or something that is none, is left out', () => {
  const labels = [{}, { trace_id: '../../cluster' }, { trace_id: '' }, { span_id: 'b7ad6b7169203331' }];
  expect(exemplarsOf(labels.map((labels) => ({ labels: labels as Record<string, string>, value: '1', timestamp: 1 })))).toEqual([]);
});
