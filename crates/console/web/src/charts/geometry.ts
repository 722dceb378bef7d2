// Where the points of a line stand, and round numbers for its axis.

import type { Series } from '../api/prometheus';

export interface Box {
  from: number;
  to: number;
  low: number;
  high: number;
}

/** What holds every point; from zero on, because a part of an axis makes a ripple look like a wave. */
export function boxOf(series: readonly Series[], range: { start: number; end: number } | null = null): Box {
  const box = { from: range?.start ?? Infinity, to: range?.end ?? -Infinity, low: 0, high: 0 };
  for (const { points } of series) {
    for (const [at, value] of points) {
      if (range === null) {
        box.from = Math.min(box.from, at);
        box.to = Math.max(box.to, at);
      }
      if (!Number.isFinite(value)) continue;
      box.low = Math.min(box.low, value);
      box.high = Math.max(box.high, value);
    }
  }
  if (!(box.to > box.from)) box.to = (Number.isFinite(box.from) ? box.from : (box.from = 0)) + 1;
  if (box.high === box.low) box.high = box.low + 1;
  return box;
}

/** A path through the points; where one is missing or no number, the line is broken, not drawn through. */
export function line(points: Series['points'], box: Box, width: number, height: number, step = Infinity): string {
  let path = '';
  let before: number | null = null;
  for (const [at, value] of points) {
    if (!Number.isFinite(value)) {
      before = null;
      continue;
    }
    const joined = before !== null && at - before <= step * 1.5;
    path += `${joined ? 'L' : 'M'}${place(at, box.from, box.to, width)} ${place(value, box.high, box.low, height)}`;
    // A point alone is a dot: a line of no length with round ends.
    if (!joined) path += 'h0';
    before = at;
  }
  return path;
}

export const place = (value: number, from: number, to: number, length: number): number =>
  Math.round(((value - from) / (to - from)) * length * 10) / 10;

/** Two to five round values from `low` to at least `high`. */
export function scale(low: number, high: number): number[] {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999) ?? 10 * power;
  const found = [];
  for (let i = Math.floor(low / step); i * step < high + step * 0.999; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}
