// Where the services stand on the map: layers from left to right in the direction of calls (Sugiyama's method,
// small). The same services and edges always give the same picture, whatever order they come in, because nothing
// here depends on traffic; that is what keeps positions stable while figures change.
//
// 1. Layers: longest path from the callers, with the edges that would close a cycle left out.
// 2. An edge that spans layers gets a waypoint in each, so that it passes between services and never over one.
// 3. Order within a layer: sweeps that sort by the mean position of the neighbours; the order with the fewest
//    crossings wins.
// 4. Heights: each layer is pulled to its neighbours' mean; overlaps are pooled, which is the least-squares answer
//    under "this order, at least this far apart".

import { backEdges, layersOf, order, type Call, type Vertex } from './layers';
import { spread } from './spread';

export type { Call } from './layers';

export interface Size {
  nodeWidth: number;
  nodeHeight: number;
  /** Between layers; the edge's figures stand in it. */
  gapX: number;
  /** Between services in one layer. */
  gapY: number;
  labelHeight: number;
  /** From the edge down to the top of its figures: room for the breaker's switch. */
  labelDrop: number;
  margin: number;
}

export interface Point {
  x: number;
  y: number;
}

export interface Place extends Point {
  name: string;
  /** Takes part in no call: stands on the shelf below the rest. */
  alone: boolean;
}

export interface Route extends Call {
  /** SVG path data, from the caller to the service. */
  path: string;
  /** Where the circuit is drawn broken: on the path, in the middle of its last piece. */
  middle: Point;
  /** The path's direction there, in degrees clockwise from rightwards. */
  angle: number;
  /** The middle of the figures: just below `middle`, or pushed up or down by a neighbour's. */
  label: Point;
  kind: 'forward' | 'back' | 'self';
}

export interface Layout {
  /** Sorted by name. */
  places: Place[];
  /** Sorted by caller and service. */
  routes: Route[];
  layers: number;
  top: number;
  width: number;
  height: number;
}

const byName = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
const byCall = (a: Call, b: Call) => byName(a.caller, b.caller) || byName(a.service, b.service);
const SETTLING_ROUNDS = 6;
const SELF_RISE = 28;
/** How far before a service an edge against the stream turns, and how round. */
const TURN = 14;
const ROUND = 12;
const MAX_SHELF = 4;

export function layout(services: Iterable<string>, called: readonly Call[], size: Size): Layout {
  const calls = [...called].sort(byCall).filter((call, i, all) => i === 0 || byCall(call, all[i - 1]!) !== 0);
  const connected = new Set(calls.flatMap(({ caller, service }) => [caller, service]));
  const walkers = [...connected].sort(byName);
  const back = backEdges(walkers, calls);
  const forward = calls.filter((call) => !back.has(call));
  const looped = new Set([...back].filter(({ caller, service }) => caller === service).map(({ service }) => service));
  const { layers, vertices, chains } = stand(walkers, forward, looped, size);
  order(layers, forward.length);
  settle(layers, size.gapY);

  const left = (layer: number) => size.margin + layer * (size.nodeWidth + size.gapX);
  const places = [...vertices].map(([name, { layer, y }]) => {
    return { name, x: left(layer), y: y - size.nodeHeight / 2, alone: false };
  });
  const routes = forwardRoutes(chains, left, size);
  const low = () =>
    Math.max(0, ...places.map(({ y }) => y + size.nodeHeight), ...routes.map(({ label }) => label.y + size.labelHeight / 2));
  let lane = low();
  for (const call of back) {
    const from = vertices.get(call.caller)!;
    const to = vertices.get(call.service)!;
    if (from === to) {
      routes.push(selfRoute(call, left(from.layer) + size.nodeWidth / 2, from.y - size.nodeHeight / 2, size));
    } else {
      lane += size.labelHeight + size.labelDrop + 16;
      const a = { x: left(from.layer) + size.nodeWidth, y: from.y + size.nodeHeight / 4 };
      const b = { x: left(to.layer), y: to.y + size.nodeHeight / 4 };
      routes.push(backRoute(call, a, b, lane - size.labelHeight - size.labelDrop, size));
    }
  }
  const alone = [...new Set(services)].filter((name) => !connected.has(name)).sort(byName);
  places.push(...shelf(alone, layers.length, Math.max(lane, low()), size));

  const top = Math.min(...places.map(({ y }) => y), ...routes.map(({ label }) => label.y - size.labelHeight / 2), 0);
  return {
    places: places.sort((a, b) => byName(a.name, b.name)),
    routes: routes.sort(byCall),
    layers: layers.length,
    top: top - size.margin,
    width: Math.max(0, ...places.map(({ x }) => x + size.nodeWidth)) + size.margin,
    height: Math.max(lane, low()) - top + 2 * size.margin,
  };
}

/** What a loop and its figures need above a service, beyond the gap that is there anyway. */
const loopRoom = ({ labelHeight, gapY }: Size) => Math.max(0, SELF_RISE + labelHeight + 4 - gapY);

/** Every service in its layer, with the waypoints of the edges that pass through. */
function stand(walkers: readonly string[], forward: readonly Call[], looped: ReadonlySet<string>, size: Size) {
  const layerOf = layersOf(walkers, forward);
  const layers: Vertex[][] = Array.from({ length: Math.max(-1, ...layerOf.values()) + 1 }, () => []);
  const add = (name: string | null, layer: number, height: number): Vertex => {
    const vertex: Vertex = { name, layer, height, y: 0, before: [], after: [] };
    layers[layer]!.push(vertex);
    return vertex;
  };
  const vertices = new Map(
    walkers.map((name) => {
      const height = size.nodeHeight + (looped.has(name) ? 2 * loopRoom(size) : 0);
      return [name, add(name, layerOf.get(name)!, height)];
    }),
  );
  const chains = new Map<Call, Vertex[]>();
  for (const call of forward) {
    const chain = [vertices.get(call.caller)!];
    const end = vertices.get(call.service)!;
    for (let layer = chain[0]!.layer + 1; layer < end.layer; layer++) chain.push(add(null, layer, size.labelHeight));
    chain.push(end);
    for (let i = 1; i < chain.length; i++) {
      chain[i - 1]!.after.push(chain[i]!);
      chain[i]!.before.push(chain[i - 1]!);
    }
    chains.set(call, chain);
  }
  return { layers, vertices, chains };
}

/** Gives every vertex its height on the page. */
function settle(layers: readonly Vertex[][], gap: number): void {
  const place = (layer: readonly Vertex[], wish: (vertex: Vertex) => number) => {
    const centres = spread(layer.map(wish), layer.map(({ height }) => height), gap);
    layer.forEach((vertex, i) => (vertex.y = centres[i]!));
  };
  const mean = (of: readonly Vertex[], otherwise: number) =>
    of.length === 0 ? otherwise : of.reduce((sum, { y }) => sum + y, 0) / of.length;
  for (const layer of layers) place(layer, () => 0);
  for (let round = 0; round < SETTLING_ROUNDS; round++) {
    for (const layer of layers.slice(1)) place(layer, (vertex) => mean(vertex.before, vertex.y));
    for (const layer of layers.slice(0, -1).reverse()) place(layer, (vertex) => mean(vertex.after, vertex.y));
  }
  // The last word is to both sides, so that a chain comes out straight.
  for (const layer of layers) place(layer, (vertex) => mean([...vertex.before, ...vertex.after], vertex.y));
  const top = Math.min(...layers.flat().map(({ y, height }) => y - height / 2));
  for (const vertex of layers.flat()) vertex.y -= top;
}

const degrees = (radians: number) => (radians * 180) / Math.PI;
const below = ({ x, y }: Point, size: Size): Point => ({ x, y: y + size.labelDrop + size.labelHeight / 2 });
const n = (value: number) => String(Math.round(value * 10) / 10);

/** A curve that leaves and enters every point horizontally. */
function through(points: readonly Point[]): string {
  let from = points[0]!;
  let path = `M${n(from.x)} ${n(from.y)}`;
  for (const to of points.slice(1)) {
    const half = (from.x + to.x) / 2;
    path += `C${n(half)} ${n(from.y)} ${n(half)} ${n(to.y)} ${n(to.x)} ${n(to.y)}`;
    from = to;
  }
  return path;
}

function forwardRoutes(chains: Map<Call, Vertex[]>, left: (layer: number) => number, size: Size): Route[] {
  const columns = new Map<number, Route[]>();
  const routes = [...chains].map(([call, chain]): Route => {
    const points = chain.flatMap((vertex, i): Point[] => {
      const enter = { x: left(vertex.layer), y: vertex.y };
      const leave = { x: left(vertex.layer) + size.nodeWidth, y: vertex.y };
      return i === 0 ? [leave] : i === chain.length - 1 ? [enter] : [enter, leave];
    });
    const [from, to] = points.slice(-2) as [Point, Point];
    const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
    const angle = degrees(Math.atan2(2 * (to.y - from.y), to.x - from.x));
    const route: Route = { ...call, path: through(points), middle, angle, label: below(middle, size), kind: 'forward' };
    const column = chain[chain.length - 1]!.layer;
    columns.set(column, [...(columns.get(column) ?? []), route]);
    return route;
  });
  // Figures of edges that end in the same layer share a column: keep them apart there.
  for (const column of columns.values()) {
    column.sort((a, b) => a.label.y - b.label.y || byCall(a, b));
    const wished = column.map(({ label }) => label.y);
    const centres = spread(wished, Array<number>(column.length).fill(size.labelHeight), 6);
    column.forEach((route, i) => (route.label.y = centres[i]!));
  }
  return routes;
}

function selfRoute(call: Call, x: number, y: number, size: Size): Route {
  const path = `M${n(x + 24)} ${n(y)}C${n(x + 44)} ${n(y - SELF_RISE)} ${n(x - 44)} ${n(y - SELF_RISE)} ${n(x - 24)} ${n(y)}`;
  const middle = { x, y: y - SELF_RISE * 0.75 };
  return { ...call, path, middle, angle: 180, label: { x, y: y - SELF_RISE - size.labelHeight / 2 }, kind: 'self' };
}

/**
 * Against the stream: out on the right, down between the layers, back below everything in a lane of its own, up
 * between the layers and in on the left like every other call. So it leads over no service.
 */
function backRoute(call: Call, a: Point, b: Point, lane: number, size: Size): Route {
  const [right, left] = [a.x + TURN, b.x - TURN];
  const corner = (x1: number, y1: number, x: number, y: number, x2: number, y2: number) =>
    `L${n(x1)} ${n(y1)}C${n(x)} ${n(y)} ${n(x)} ${n(y)} ${n(x2)} ${n(y2)}`;
  const path =
    `M${n(a.x)} ${n(a.y)}` +
    corner(right - ROUND, a.y, right, a.y, right, a.y + ROUND) +
    corner(right, lane - ROUND, right, lane, right - ROUND, lane) +
    corner(left + ROUND, lane, left, lane, left, lane - ROUND) +
    corner(left, b.y + ROUND, left, b.y, left + ROUND, b.y) +
    `L${n(b.x)} ${n(b.y)}`;
  const middle = { x: (right + left) / 2, y: lane };
  return { ...call, path, middle, angle: 180, label: below(middle, size), kind: 'back' };
}

/** Services that take part in no call, in rows below those that do. */
function shelf(alone: readonly string[], layers: number, below: number, size: Size): Place[] {
  const wide = Math.max(layers, Math.min(alone.length, MAX_SHELF));
  const stepX = size.nodeWidth + (layers === 0 ? size.gapY : size.gapX);
  const first = layers === 0 ? 0 : below + size.gapY;
  return alone.map((name, i) => ({
    name,
    x: size.margin + (i % wide) * stepX,
    y: first + Math.floor(i / wide) * (size.nodeHeight + size.gapY),
    alone: true,
  }));
}
