// The geometry of a waterfall: which span stands in which row, how deep, and where its bar begins and ends as a
// share of the whole. Spans come from anywhere and may be wrong in any way (parents missing, parents in a circle,
// times before the trace's start); every span still gets exactly one row.

import type { Span, Trace } from '../api/types';

export interface Row {
  span: Span;
  depth: number;
  /** Shares of the whole, in 0..1. */
  left: number;
  width: number;
  /** Which of the services' colours. */
  colour: number;
  /** Names a parent that the trace does not hold. */
  orphan: boolean;
  failed: boolean;
}

export interface Waterfall {
  rows: Row[];
  /** Offset of the left edge from the trace's start; negative when a clock ran ahead. */
  start_ns: number;
  total_ns: number;
  /** In the order in which the rows name them. */
  services: { service: string; colour: number; spans: number; failed: number }[];
}

/** How many hues there are; services beyond them share, which is why each bar's row names its service too. */
export const COLOURS = 8;

const inTime = (a: Span, b: Span) => a.offset_ns - b.offset_ns || (a.span_id < b.span_id ? -1 : 1);

function siblings(children: Map<string, Span[]>, parent: string): Span[] {
  const known = children.get(parent);
  if (known !== undefined) return known;
  const fresh: Span[] = [];
  children.set(parent, fresh);
  return fresh;
}

export function waterfall(trace: Pick<Trace, 'spans' | 'duration_ns'>): Waterfall {
  const byId = new Map(trace.spans.map((span) => [span.span_id, span]));
  const children = new Map<string, Span[]>();
  const roots: Span[] = [];
  for (const span of trace.spans) {
    const parent = span.parent_span_id;
    if (parent === null || parent === span.span_id || !byId.has(parent)) roots.push(span);
    else siblings(children, parent).push(span);
  }
  let start_ns = 0;
  let end_ns = Math.max(0, trace.duration_ns);
  for (const { offset_ns, duration_ns } of trace.spans) {
    start_ns = Math.min(start_ns, offset_ns);
    end_ns = Math.max(end_ns, offset_ns + duration_ns);
  }
  const total_ns = Math.max(1, end_ns - start_ns);

  const rows: Row[] = [];
  const services = new Map<string, Waterfall['services'][number]>();
  const placed = new Set<Span>();
  const place = (root: Span) => {
    // An explicit stack: a chain of calls may be deeper than the engine's.
    const stack = [{ span: root, depth: 0 }];
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      const { span, depth } = top;
      if (placed.has(span)) continue;
      placed.add(span);
      rows.push(row(span, depth));
      const below = [...(children.get(span.span_id) ?? [])].sort(inTime).reverse();
      for (const child of below) stack.push({ span: child, depth: depth + 1 });
    }
  };
  const row = (span: Span, depth: number): Row => {
    const failed = span.status.code === 'error';
    let service = services.get(span.service);
    if (service === undefined) {
      service = { service: span.service, colour: services.size % COLOURS, spans: 0, failed: 0 };
      services.set(span.service, service);
    }
    service.spans += 1;
    service.failed += Number(failed);
    return {
      span,
      depth,
      left: (span.offset_ns - start_ns) / total_ns,
      width: Math.max(0, span.duration_ns) / total_ns,
      colour: service.colour,
      orphan: span.parent_span_id !== null && !byId.has(span.parent_span_id),
      failed,
    };
  };
  for (const root of roots.sort(inTime)) place(root);
  // What is left hangs in a circle of parents: the earliest of it is as good a root as any.
  if (placed.size < trace.spans.length) for (const span of [...trace.spans].sort(inTime)) if (!placed.has(span)) place(span);
  return { rows, start_ns, total_ns, services: [...services.values()] };
}

/** Round steps (1, 2 or 5 times a power of ten), at most `most` of them, from 0 up to the whole. */
export function ticks(total_ns: number, most: number): { ns: number; at: number }[] {
  const rough = total_ns / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? 10 * power;
  const found = [];
  for (let i = 0; i * step <= total_ns; i++) found.push({ ns: i * step, at: (i * step) / total_ns });
  return found;
}

/** The rows to draw: those in sight and a few around them, so that ten thousand cost no more than fifty. */
export function inSight(rows: number, rowHeight: number, scrollTop: number, height: number, around = 8) {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - around);
  const end = Math.min(rows, Math.ceil((scrollTop + height) / rowHeight) + around);
  return { first: Math.min(first, end), end };
}
