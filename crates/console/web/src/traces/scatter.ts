// Where traces stand among each other: time to the right, duration upwards by powers of ten, because the slow ones
// are a hundred times slower and not twice.

import type { TraceSummary } from '../api/types';

export interface Dot {
  trace: TraceSummary;
  /** Shares of the field, from its left and its top. */
  x: number;
  y: number;
}

export interface Scatter {
  dots: Dot[];
  from: number;
  to: number;
  /** Powers of ten of nanoseconds. */
  low: number;
  high: number;
  marks: { ns: number; y: number }[];
}

export function scatter(traces: readonly TraceSummary[], fromMs: number, toMs: number): Scatter {
  const logs = traces.map(({ duration_ns }) => Math.log10(Math.max(1, duration_ns)));
  const low = logs.length === 0 ? 6 : Math.floor(Math.min(...logs));
  const high = Math.max(low + 1, logs.length === 0 ? 9 : Math.ceil(Math.max(...logs)));
  const up = (log: number) => 1 - (log - low) / (high - low);
  const marks = Array.from({ length: high - low + 1 }, (_, i) => ({ ns: 10 ** (low + i), y: up(low + i) }));
  const dots = traces.map((trace, i) => ({ trace, x: (Date.parse(trace.start) - fromMs) / Math.max(1, toMs - fromMs), y: up(logs[i]!) }));
  return { dots, from: fromMs, to: toMs, low, high, marks };
}

export interface Corner {
  x: number;
  y: number;
}

/** What a box holds, as a search says it; a box of almost no size is a slip of the hand. */
export function boxed({ from, to, low, high }: Scatter, a: Corner, b: Corner) {
  if (Math.abs(a.x - b.x) < 0.01 && Math.abs(a.y - b.y) < 0.03) return null;
  const share = (value: number) => Math.min(1, Math.max(0, value));
  const time = (x: number) => new Date(from + share(x) * (to - from)).toISOString();
  const ns = (y: number) => `${Math.round(10 ** (low + (1 - share(y)) * (high - low)))}ns`;
  return {
    from: time(Math.min(a.x, b.x)),
    to: time(Math.max(a.x, b.x)),
    min: ns(Math.max(a.y, b.y)),
    max: ns(Math.min(a.y, b.y)),
  };
}
