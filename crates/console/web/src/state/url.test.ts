import { describe, expect, test } from 'vitest';
import { HOME, formatView, parseView, type View } from './url';

const at = (address: string) => parseView(new URL(address, 'http://console'));

describe('the address of a view', () => {
  test('home is the shortest address', () => {
    expect(formatView(HOME)).toBe('/');
    expect(at('/')).toEqual(HOME);
  });

  const views: [string, Partial<View>][] = [
    ['/?namespace=shop', { namespace: 'shop' }],
    ['/?window=1h&live=off', { window: '1h', paused: true }],
    ['/?view=table&service=payments', { table: true, service: 'payments' }],
    ['/?service=payments&caller=gateway', { service: 'payments', caller: 'gateway' }],
    ['/?view=graph', { table: false }],
    ['/traces/0af7651916cd43dd8448eb211c80319c', { page: { name: 'trace', traceId: '0af7651916cd43dd8448eb211c80319c' } }],
    ['/traces/ab?span=b7ad6b7169203331', { page: { name: 'trace', traceId: 'ab' }, span: 'b7ad6b7169203331' }],
    ['/services?service=payments&key=user-42', { page: { name: 'services' }, service: 'payments', key: 'user-42' }],
    ['/traces?q=error%3Dtrue&min=12ms&max=1s', { page: { name: 'traces' }, q: 'error=true', min: '12ms', max: '1s' }],
    ['/traces/compare?before=ab&after=cd', { page: { name: 'compare' }, before: 'ab', after: 'cd' }],
    ['/breakers?service=cart&policy=cart', { page: { name: 'breakers' }, service: 'cart', policy: 'cart' }],
    ['/signals?q=up%7B%7D', { page: { name: 'metrics' }, q: 'up{}' }],
    ['/events?service=cart&kind=policy', { page: { name: 'events' }, service: 'cart', kind: 'policy' }],
    ['/cluster', { page: { name: 'cluster' } }],
    ['/?lang=zh&theme=dark', { lang: 'zh', theme: 'dark' }],
  ];
  test.each(views)('%s survives parsing and formatting', (address, change) => {
    expect(at(address)).toEqual({ ...HOME, ...change });
    expect(formatView(at(address))).toBe(address);
  });

  test('what is not understood falls back to the default instead of breaking the page', () => {
    expect(at('/?window=3y&live=maybe&view=cube')).toEqual(HOME);
    expect(at('/?caller=gateway')).toEqual(HOME);
    expect(at('/traces/not-an-id').page).toEqual({ name: 'unknown', path: '/traces/not-an-id' });
    expect(at('/nowhere').page.name).toBe('unknown');
  });

  test('names of any kind are escaped', () => {
    const service = '<img src=x onerror=alert(1)>&caller=x#';
    const address = formatView({ ...HOME, service });
    expect(address).not.toMatch(/[<>#]/);
    expect(at(address)).toEqual({ ...HOME, service });
  });

  test('the path that Prometheus scrapes is no page', () => {
    expect(at('/metrics').page.name).toBe('unknown');
    expect(formatView({ ...HOME, page: { name: 'metrics' } })).toBe('/signals');
  });

  test('an upper case trace id is the same trace', () => {
    expect(at('/traces/0AF7').page).toEqual({ name: 'trace', traceId: '0af7' });
  });

  test('what belongs to another page is not carried along', () => {
    const view = { ...HOME, service: 'payments', page: { name: 'trace', traceId: 'ab' } } as const;
    expect(formatView(view)).toBe('/traces/ab');
  });
});
