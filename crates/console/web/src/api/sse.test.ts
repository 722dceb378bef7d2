import { describe, expect, test } from 'vitest';
import { EventParser, MAX_EVENT_CHARS, type ServerEvent } from './sse';

const parse = (...pieces: string[]): ServerEvent[] => {
  const parser = new EventParser();
  return pieces.flatMap((piece) => parser.push(piece));
};

const STREAM = ': hello\r\nid: 7\r\nevent: overview\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata: two\n\nid\ndata:three\r\r';

describe('server-sent events', () => {
  test('an event has its name, its joined data and the last id', () => {
    expect(parse(STREAM)).toEqual([
      { event: 'overview', data: '{"a":\n1}', id: '7' },
      { event: 'message', data: 'two', id: '7' },
      { event: 'message', data: 'three', id: '' },
    ]);
  });

  test('where the pieces are cut makes no difference', () => {
    const whole = parse(STREAM);
    for (let cut = 1; cut < STREAM.length; cut++) {
      expect(parse(STREAM.slice(0, cut), STREAM.slice(cut))).toEqual(whole);
    }
    expect(parse(...STREAM)).toEqual(whole);
    expect(parse('data: x\r', '\n', '\n', 'data: y\n\n')).toHaveLength(2);
  });

  test('a block without data is no event, and an unfinished one waits', () => {
    expect(parse('event: ping\n\n', ':\n\n', 'data: half\n')).toEqual([]);
  });

  test('the byte order mark is not part of the first field', () => {
    expect(parse('\uFEFFdata: x\n\n')).toHaveLength(1);
  });

  test('the server may set the time to reconnect', () => {
    const parser = new EventParser();
    parser.push('retry: 1500\nretry: soon\n');
    expect(parser.retryMs).toBe(1500);
  });

  test('an endless event is given up instead of growing without bound', () => {
    const parser = new EventParser();
    const piece = `data: ${'x'.repeat(1024 * 1024)}\n`;
    expect(() => {
      for (let i = 0; i <= MAX_EVENT_CHARS / (1024 * 1024); i++) parser.push(piece);
    }).toThrow(RangeError);
    expect(() => new EventParser().push('y'.repeat(MAX_EVENT_CHARS + 1))).toThrow(RangeError);
  });
});
