import { describe, expect, test } from 'vitest';
import { layout, type Call, type Layout, type Size } from './layout';
import { spread } from './spread';

const SIZE: Size = { nodeWidth: 160, nodeHeight: 60, gapX: 180, gapY: 40, labelHeight: 34, labelDrop: 10, margin: 20 };

/** `check('gateway>shop shop>stock', 'lonely')`: edges, then services that may have none. */
function check(edges: string, services = ''): Layout {
  const calls = edges.split(' ').filter(Boolean).map((edge): Call => {
    const [caller, service] = edge.split('>') as [string, string];
    return { caller, service };
  });
  return layout(services.split(' ').filter(Boolean), calls, SIZE);
}

const columns = ({ places }: Layout) =>
  Object.fromEntries(
    places.map(({ name, x, alone }) => [name, alone ? 'shelf' : (x - SIZE.margin) / (SIZE.nodeWidth + SIZE.gapX)]),
  );

/** A repeatable stream of numbers in [0, 1). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], next: () => number): T[] {
  return items
    .map((item) => [next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

function randomCalls(next: () => number, services: number, edges: number): Call[] {
  const name = () => `s${Math.floor(next() * services)}`;
  return Array.from({ length: edges }, () => ({ caller: name(), service: name() }));
}

/** Samples of a path's curve, by its own control points. */
function points(path: string): { x: number; y: number }[] {
  const found: { x: number; y: number }[] = [];
  let at = { x: 0, y: 0 };
  for (const [, letter, text] of path.matchAll(/([MCL])([^MCL]+)/g)) {
    const v = text!.trim().split(' ').map(Number);
    if (letter === 'C') {
      for (let t = 0; t <= 1; t += 0.05) {
        const u = 1 - t;
        const mix = (a: number, b: number, c: number, d: number) =>
          u ** 3 * a + 3 * u * u * t * b + 3 * u * t * t * c + t ** 3 * d;
        found.push({ x: mix(at.x, v[0]!, v[2]!, v[4]!), y: mix(at.y, v[1]!, v[3]!, v[5]!) });
      }
    }
    const to = { x: v[v.length - 2]!, y: v[v.length - 1]! };
    if (letter === 'L') {
      for (let t = 0; t < 1; t += 0.02) found.push({ x: at.x + t * (to.x - at.x), y: at.y + t * (to.y - at.y) });
    }
    at = to;
    found.push(at);
  }
  return found;
}

describe('the map', () => {
  test('runs from the callers on the left to the called on the right', () => {
    expect(columns(check('gateway>shop shop>stock shop>pay pay>bank'))).toEqual({
      gateway: 0,
      shop: 1,
      pay: 2,
      stock: 2,
      bank: 3,
    });
  });

  test('puts a service after the last of its callers', () => {
    expect(columns(check('gateway>a a>b gateway>b'))).toEqual({ gateway: 0, a: 1, b: 2 });
  });

  test('draws a chain as a straight line', () => {
    const { places } = check('a>b b>c c>d');
    expect(new Set(places.map(({ y }) => y)).size).toBe(1);
  });

  test('cuts a cycle where it is entered and still shows the edge that closes it', () => {
    const made = check('gateway>a a>b b>c c>a');
    expect(columns(made)).toEqual({ gateway: 0, a: 1, b: 2, c: 3 });
    expect(made.routes.find(({ kind }) => kind === 'back')).toMatchObject({ caller: 'c', service: 'a' });
  });

  test('shows a service that calls itself with a loop, in the layer that it would have anyway', () => {
    const made = check('gateway>a a>a');
    expect(columns(made)).toEqual({ gateway: 0, a: 1 });
    expect(made.routes[0]).toMatchObject({ kind: 'self' });
  });

  test('keeps the figures of a loop clear of the services above and below', () => {
    const { routes, places } = check('gateway>a gateway>b gateway>c b>b');
    const { label } = routes.find(({ kind }) => kind === 'self')!;
    for (const { x, y } of places) {
      const apart =
        Math.abs(label.x - x - SIZE.nodeWidth / 2) >= SIZE.nodeWidth / 2 ||
        label.y - SIZE.labelHeight / 2 >= y + SIZE.nodeHeight ||
        label.y + SIZE.labelHeight / 2 <= y;
      expect(apart).toBe(true);
    }
  });

  test('keeps services without calls on a shelf below the rest', () => {
    const made = check('a>b', 'lonely a other');
    expect(columns(made)).toEqual({ a: 0, b: 1, lonely: 'shelf', other: 'shelf' });
    const low = Math.max(...made.places.filter(({ alone }) => !alone).map(({ y }) => y));
    for (const { y } of made.places.filter(({ alone }) => alone)) expect(y).toBeGreaterThan(low + SIZE.nodeHeight);
  });

  test('of nothing is empty', () => {
    expect(check('')).toMatchObject({ places: [], routes: [], layers: 0 });
  });

  test('uncrosses edges that need not cross', () => {
    const { places } = check('a>y b>x');
    const y = Object.fromEntries(places.map((place) => [place.name, place.y]));
    expect(Math.sign(y.a! - y.b!)).toBe(Math.sign(y.y! - y.x!));
  });

  test('is the same whatever order services and edges come in', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const next = numbers(seed);
      const calls = randomCalls(next, 9, 14);
      const services = calls.map(({ service }) => service).concat('lonely', 'other');
      expect(layout(shuffled(services, next), shuffled(calls, next), SIZE)).toEqual(layout(services, calls, SIZE));
    }
  });

  test('lets no two services overlap and leads no edge over a service', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const next = numbers(seed);
      const { places, routes, width, height, top } = layout(['lonely'], randomCalls(next, 12, 4 + (seed % 20)), SIZE);
      places.forEach((a, i) => {
        for (const b of places.slice(i + 1)) {
          const apart = Math.abs(a.x - b.x) >= SIZE.nodeWidth || Math.abs(a.y - b.y) >= SIZE.nodeHeight + SIZE.gapY - 1e-6;
          expect(apart, `${a.name} and ${b.name}, seed ${seed}`).toBe(true);
        }
        expect(a.x + SIZE.nodeWidth).toBeLessThanOrEqual(width);
        expect(a.y + SIZE.nodeHeight).toBeLessThanOrEqual(top + height);
        expect(a.y).toBeGreaterThanOrEqual(top);
      });
      for (const { path, kind, caller, service } of routes) {
        if (kind === 'self') continue;
        const inside = points(path).filter(({ x, y }) =>
          places.some(
            (place) =>
              x > place.x + 1 && x < place.x + SIZE.nodeWidth - 1 && y > place.y + 1 && y < place.y + SIZE.nodeHeight - 1,
          ),
        );
        expect(inside, `${caller} to ${service}, seed ${seed}`).toEqual([]);
      }
    }
  });

  test('lets no two figures in one column overlap', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const { routes } = layout([], randomCalls(numbers(seed), 8, 16), SIZE);
      const figures = routes.filter(({ kind }) => kind === 'forward');
      figures.forEach((a, i) => {
        for (const b of figures.slice(i + 1)) {
          if (a.label.x !== b.label.x) continue;
          expect(Math.abs(a.label.y - b.label.y)).toBeGreaterThanOrEqual(SIZE.labelHeight - 1e-6);
        }
      });
    }
  });

  test('holds 300 services and 700 edges without a noticeable wait', () => {
    const calls = randomCalls(numbers(3), 300, 700);
    const began = performance.now();
    expect(layout([], calls, SIZE).places.length).toBeGreaterThan(250);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test('walks a chain of ten thousand services without running out of stack', () => {
    const calls = Array.from({ length: 10_000 }, (_, i) => ({ caller: `s${i}`, service: `s${i + 1}` }));
    expect(layout([], calls, SIZE).layers).toBe(10_001);
  });
});

describe('spreading a column', () => {
  test('leaves alone what does not overlap', () => {
    expect(spread([0, 100, 300], [20, 20, 20], 10)).toEqual([0, 100, 300]);
  });

  test('pushes apart as little as it can', () => {
    expect(spread([50, 50], [20, 20], 10)).toEqual([35, 65]);
    expect(spread([0, 50, 50], [20, 20, 20], 10)).toEqual([0, 35, 65]);
  });
});
