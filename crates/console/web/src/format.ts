// Figures as people read them: three significant digits, the unit that keeps the number small, never a raw count
// of nanoseconds. Units are the same in every language; words around them come from the catalogues.

const THIN = '\u202F'; // narrow no-break space: number and unit stay on one line

/** Three significant digits without trailing zeros after the point: 1.2, 12.3, 123. */
export function significant(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return Number.isFinite(value) ? '0' : '–';
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return String(Number(value.toFixed(digits)));
}

const DURATIONS: readonly (readonly [below: number, unit: number, name: string])[] = [
  [999.5, 1, 'ns'],
  [999.5e3, 1e3, 'µs'],
  [999.5e6, 1e6, 'ms'],
  [59.995e9, 1e9, 's'],
];

export function duration(ns: number | null): string {
  if (ns === null || !Number.isFinite(ns)) return '–';
  const size = Math.abs(ns);
  for (const [below, unit, name] of DURATIONS) {
    if (size < below) return `${significant(ns / unit)}${THIN}${name}`;
  }
  const sign = ns < 0 ? '−' : '';
  const seconds = Math.round(size / 1e9);
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return (
    sign +
    parts
      .slice(first, first + 2)
      .filter(([count]) => count > 0)
      .map(([count, unit]) => `${count}${THIN}${unit}`)
      .join(THIN)
  );
}

/** Counts above ten thousand are shortened: 12.3k, 4.56M. */
export function count(value: number): string {
  if (value < 10_000) return String(Math.round(value));
  if (value < 999_500) return `${significant(value / 1e3)}k`;
  if (value < 999.5e6) return `${significant(value / 1e6)}M`;
  return `${significant(value / 1e9)}G`;
}

/** Bytes in powers of 1024, as budgets are set: 384 MiB. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
  return `${significant(value / 1024 ** at)}${THIN}${units[at]}`;
}

/** Calls per second; a trickle is told per minute, because 0.02/s says nothing to anyone. */
export function rate(perSecond: number): string {
  if (perSecond <= 0) return '0/s';
  if (perSecond < 0.095) return `${significant(perSecond * 60)}/min`;
  return `${perSecond < 1000 ? significant(perSecond) : count(perSecond)}/s`;
}

/** A ratio as percent. What is not zero never reads as zero, and what is not all never reads as all. */
export function percent(ratio: number): string {
  if (ratio <= 0) return '0%';
  if (ratio < 0.001) return '<0.1%';
  if (ratio > 0.999 && ratio < 1) return '>99.9%';
  return `${significant(Math.round(ratio * 1000) / 10)}%`;
}

const two = (value: number) => String(value).padStart(2, '0');

/** Local time of day; the caller shows the full timestamp as a title. */
export function timeOfDay(timestamp: string): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return '–';
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Whole seconds between a timestamp and now; a clock that runs ahead gives 0, nonsense gives null. */
export function secondsSince(timestamp: string | null, nowMs: number): number | null {
  if (timestamp === null) return null;
  const then = Date.parse(timestamp);
  return Number.isNaN(then) ? null : Math.max(0, Math.floor((nowMs - then) / 1000));
}

/** How much of an age is worth saying: its largest unit. */
export function ageUnit(seconds: number): { unit: 'now' | 's' | 'm' | 'h' | 'd'; n: number } {
  if (seconds < 2) return { unit: 'now', n: 0 };
  if (seconds < 60) return { unit: 's', n: seconds };
  if (seconds < 3600) return { unit: 'm', n: Math.floor(seconds / 60) };
  if (seconds < 86_400) return { unit: 'h', n: Math.floor(seconds / 3600) };
  return { unit: 'd', n: Math.floor(seconds / 86_400) };
}

/** An attribute's value as text, whatever JSON held. */
export function plain(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value === undefined) return '';
  return JSON.stringify(value);
}
