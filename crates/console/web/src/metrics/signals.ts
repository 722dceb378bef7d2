// The golden signals as PromQL. The proxies' own figures, seen from the caller's side only: both sides would count
// each call twice.

import { quoted, type Range } from '../api/prometheus';
import type { Window } from '../state/url';

const SECONDS: Record<Window, number> = { '5m': 300, '15m': 900, '1h': 3600 };
/** Points of a line: as many as a line of a few hundred pixels can show. */
const POINTS = 60;

/** The range up to now; its ends are multiples of the step, so that points stay where they are from one time to the next. */
export function rangeOf(window: Window, nowMs: number): Range {
  const step = SECONDS[window] / POINTS;
  const end = Math.floor(nowMs / 1000 / step) * step;
  return { start: end - SECONDS[window], end, step };
}

/** The shortest range that a chart is zoomed to, in seconds: below it, samples are too far apart to say more. */
export const SHORTEST = 15;

/** The range that was boxed in, in as many points as any; null where the address names none that makes sense. */
export function rangeBetween(from: string | null, to: string | null): Range | null {
  const [first, last] = [Date.parse(from ?? ''), Date.parse(to ?? '')].map((ms) => Math.round(ms / 1000)) as [number, number];
  if (!(last - first >= SHORTEST)) return null;
  const step = Math.max(1, Math.ceil((last - first) / POINTS));
  return { start: first, end: first + Math.ceil((last - first) / step) * step, step };
}

export const SIGNALS = ['rate', 'errors', 'p50', 'p99'] as const;
export type Signal = (typeof SIGNALS)[number];

/** One signal for each service of a namespace, or for one service. */
export function signal(of: Signal, namespace: string, service: string | null, window: Window): string {
  const wanted = [`namespace=${quoted(namespace)}`, 'reporter="source"', ...(service === null ? [] : [`service=${quoted(service)}`])];
  // Four steps: a rate over fewer samples would jump from one point to the next.
  const over = `[${(SECONDS[window] / POINTS) * 4}s]`;
  const calls = (...more: string[]) => `bellwether_calls_total{${[...wanted, ...more].join(',')}}${over}`;
  switch (of) {
    case 'rate':
      return `sum by (service) (rate(${calls()}))`;
    case 'errors':
      // Where nothing has failed yet there is no such series, and that is a zero, not a gap.
      return (
        `(sum by (service) (rate(${calls('outcome!="ok"')})) or 0 * sum by (service) (rate(${calls()})))` +
        ` / sum by (service) (rate(${calls()}))`
      );
    default: {
      const quantile = of === 'p50' ? 0.5 : 0.99;
      return `histogram_quantile(${quantile}, sum by (service, le) (rate(bellwether_call_duration_seconds_bucket{${wanted.join(',')}}${over})))`;
    }
  }
}
