// The order of the map: which layer a service stands in, and where in it. Positions in pixels are layout.ts's.

/** One service calls another. */
export interface Call {
  caller: string;
  service: string;
}

/** A service, or (without a name) the point where an edge passes through a layer. */
export interface Vertex {
  name: string | null;
  layer: number;
  height: number;
  /** Centre. */
  y: number;
  before: Vertex[];
  after: Vertex[];
}

/** Edges that run against the direction of calls: the ones that a depth-first walk finds closing a cycle. */
export function backEdges(names: readonly string[], calls: readonly Call[]): Set<Call> {
  const out = new Map<string, Call[]>(names.map((name) => [name, []]));
  const called = new Set<string>();
  for (const call of calls) {
    out.get(call.caller)?.push(call);
    if (call.caller !== call.service) called.add(call.service);
  }
  const back = new Set<Call>();
  const state = new Map<string, 'open' | 'done'>();
  const visit = (root: string) => {
    // An explicit stack: a chain of services may be longer than the engine's.
    const stack: { name: string; next: number }[] = [{ name: root, next: 0 }];
    state.set(root, 'open');
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const call = out.get(top.name)?.[top.next++];
      if (call === undefined) {
        state.set(top.name, 'done');
        stack.pop();
      } else if (state.get(call.service) === 'open') {
        back.add(call);
      } else if (!state.has(call.service)) {
        state.set(call.service, 'open');
        stack.push({ name: call.service, next: 0 });
      }
    }
  };
  // From those whom nobody calls, so that cycles are cut where they are entered.
  for (const name of names) if (!called.has(name) && !state.has(name)) visit(name);
  for (const name of names) if (!state.has(name)) visit(name);
  return back;
}

/** Longest path from the left, by Kahn's walk over the edges that close no cycle. */
export function layersOf(names: readonly string[], forward: readonly Call[]): Map<string, number> {
  const layer = new Map(names.map((name) => [name, 0]));
  const waiting = new Map(names.map((name) => [name, 0]));
  const out = new Map<string, Call[]>(names.map((name) => [name, []]));
  for (const call of forward) {
    waiting.set(call.service, waiting.get(call.service)! + 1);
    out.get(call.caller)!.push(call);
  }
  const ready = names.filter((name) => waiting.get(name) === 0);
  for (let i = 0; i < ready.length; i++) {
    for (const { caller, service } of out.get(ready[i]!)!) {
      layer.set(service, Math.max(layer.get(service)!, layer.get(caller)! + 1));
      const left = waiting.get(service)! - 1;
      waiting.set(service, left);
      if (left === 0) ready.push(service);
    }
  }
  return layer;
}

function crossings(layers: readonly Vertex[][]): number {
  const index = new Map(layers.flatMap((layer) => layer.map((vertex, i) => [vertex, i] as const)));
  let total = 0;
  for (const layer of layers) {
    const ends = layer.flatMap((vertex, i) => vertex.after.map((next) => [i, index.get(next)!] as const));
    for (let i = 0; i < ends.length; i++) {
      for (let j = i + 1; j < ends.length; j++) {
        if ((ends[i]![0] - ends[j]![0]) * (ends[i]![1] - ends[j]![1]) < 0) total++;
      }
    }
  }
  return total;
}

/** Counting crossings is quadratic in the edges of a layer; beyond this many edges the last sweep is taken as it is. */
const MAX_COUNTED_EDGES = 600;
const SWEEPS = 6;

/** Sorts every layer by the mean place of its neighbours, to and fro, and keeps what crosses least. */
export function order(layers: Vertex[][], edges: number): void {
  const count = edges <= MAX_COUNTED_EDGES;
  let best = layers.map((layer) => [...layer]);
  let fewest = count ? crossings(layers) : Infinity;
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep++) {
    const down = sweep % 2 === 0;
    const walk = down ? layers.slice(1) : layers.slice(0, -1).reverse();
    for (const layer of walk) {
      const neighbours = layers[layer[0]!.layer + (down ? -1 : 1)]!;
      const index = new Map(neighbours.map((vertex, i) => [vertex, i]));
      const position = new Map(
        layer.map((vertex, i) => {
          const others = down ? vertex.before : vertex.after;
          const sum = others.reduce((total, other) => total + index.get(other)!, 0);
          return [vertex, others.length === 0 ? i : sum / others.length];
        }),
      );
      const was = new Map(layer.map((vertex, i) => [vertex, i]));
      layer.sort((a, b) => position.get(a)! - position.get(b)! || was.get(a)! - was.get(b)!);
    }
    const now = count ? crossings(layers) : 0;
    if (now < fewest) {
      fewest = now;
      best = layers.map((layer) => [...layer]);
    }
  }
  best.forEach((layer, i) => (layers[i] = layer));
}
