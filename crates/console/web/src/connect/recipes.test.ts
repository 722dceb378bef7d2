import { describe, expect, test } from 'vitest';
import { recipes } from './recipes';

const all = (of: ReturnType<typeof recipes>) => Object.values(of).flat().map(({ text }) => text).join('\n');

describe('what to copy', () => {
  test('is made for this address and namespace', () => {
    const text = all(recipes('http://127.0.0.1:2355', 'shop', true));
    expect(text).toContain('http://127.0.0.1:2355/bellwether/v1/namespaces/shop/services/hello/instances/hello-1');
    expect(text).toContain('Host: hello.shop');
    expect(text).toContain('service.namespace=shop');
    expect(text).not.toContain('BELLWETHER_TOKEN');
  });
  test('names a token where one is needed, and never holds one', () => {
    expect(all(recipes('https://b', 'default', false)).match(/\$BELLWETHER_TOKEN/g)!.length).toBeGreaterThan(3);
  });
  test('has names that are unique within a part', () => {
    for (const part of Object.values(recipes('http://b', 'default', true))) {
      expect(new Set(part.map(({ name }) => name)).size).toBe(part.length);
    }
  });
});
