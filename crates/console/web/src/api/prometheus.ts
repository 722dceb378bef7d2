// Prometheus' query API, as the control plane offers it at the root.

import { headersWith, Refusal } from './client';

export type Labels = Record<string, string>;

/** One series over time: seconds since the epoch, and the value at them. */
export interface Series {
  labels: Labels;
  points: [at: number, value: number][];
}

export interface Range {
  start: number;
  end: number;
  step: number;
}

async function ask<T>(path: string, pairs: Record<string, string>, token: string | null, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    const headers = headersWith(token, { accept: 'application/json' });
    response = await fetch(`/api/v1/${path}?${new URLSearchParams(pairs)}`, { headers, signal: signal ?? null, cache: 'no-store' });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Refusal(0, null, String(cause instanceof Error ? cause.message : cause), null);
  }
  // Errors are in the dialect's own words here: `{"status":"error","errorType":…,"error":…}`.
  const body = (await response.json().catch(() => ({}))) as { status?: string; errorType?: string; error?: string; detail?: string; data?: T };
  if (!response.ok || body.status !== 'success') {
    throw new Refusal(response.status, body.errorType ?? null, body.error ?? body.detail ?? `${response.status} ${response.statusText}`, null);
  }
  return body.data as T;
}

interface Answer {
  resultType: string;
  result: { metric: Labels; values?: [number, string][] }[];
}

export async function queryRange(query: string, range: Range, token: string | null, signal?: AbortSignal): Promise<Series[]> {
  const { start, end, step } = range;
  const pairs = { query, start: String(start), end: String(end), step: String(step) };
  const { result } = await ask<Answer>('query_range', pairs, token, signal);
  return result.map(({ metric, values }) => ({
    labels: metric,
    points: (values ?? []).map(([at, value]) => [at, Number(value)]),
  }));
}

/** A trace that stands for a sample: when, which value, and the trace. */
export interface Exemplar {
  at: number;
  value: number;
  traceId: string;
}

/** Dialects of the label that names the trace. */
const TRACE_LABELS = ['trace_id', 'traceID', 'traceId', 'TraceID'];

/** The exemplars of the series that a query reads, the newest first; those that name no trace are left out. */
export async function queryExemplars(query: string, { start, end }: Range, token: string | null, signal?: AbortSignal): Promise<Exemplar[]> {
  type Found = { exemplars: { labels: Labels; value: string; timestamp: number }[] }[];
  const found = await ask<Found>('query_exemplars', { query, start: String(start), end: String(end) }, token, signal);
  return exemplarsOf(found.flatMap(({ exemplars }) => exemplars));
}

export const exemplarsOf = (found: readonly { labels: Labels; value: string; timestamp: number }[]): Exemplar[] =>
  found
    .flatMap(({ labels, value, timestamp }) => {
      const traceId = TRACE_LABELS.map((label) => labels[label]).find((id) => id !== undefined && /^[0-9a-fA-F]{16,32}$/.test(id));
      return traceId === undefined ? [] : [{ at: timestamp, value: Number(value), traceId: traceId.toLowerCase() }];
    })
    .sort((a, b) => b.at - a.at);

/** The names of all metrics. */
export const metricNames = (token: string | null, signal?: AbortSignal): Promise<string[]> =>
  ask<string[]>('label/__name__/values', {}, token, signal);

/** A series as people read it: its name and its labels, or what is left of them. */
export function spelt({ __name__: name = '', ...labels }: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${quoted(value)}`);
  return pairs.length === 0 ? name || '{}' : `${name}{${pairs.join(', ')}}`;
}

/** A label's value as PromQL writes it. */
export const quoted = (value: string): string => `"${value.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`;
