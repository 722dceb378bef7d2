// One way to ask the API: with the token where there is one, and every refusal as a `Refusal` that carries what
// the server's problem document says. Callers never look at status codes by themselves.

import type { Overview, ServiceDetail, Trace } from './types';

const BASE = '/bellwether/v1';

/** An answer other than 2xx, or none at all (`status` 0). */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    /** The stable code of the problem (`BW-…`), or null where the answer was no problem document. */
    readonly code: string | null,
    readonly title: string,
    readonly detail: string | null,
  ) {
    super(detail ?? title);
  }

  get needsToken(): boolean {
    return this.status === 401;
  }
}

export function headersWith(token: string | null, more: Record<string, string> = {}): Record<string, string> {
  return token === null ? more : { ...more, authorization: `Bearer ${token}` };
}

/** Reads a problem document out of an answer; an answer that holds none still becomes a `Refusal`. */
export async function refusalOf(response: Response): Promise<Refusal> {
  const text = (name: string, body: Record<string, unknown>) => {
    const value = body[name];
    return typeof value === 'string' && value !== '' ? value : null;
  };
  let body: Record<string, unknown> = {};
  try {
    const parsed: unknown = await response.json();
    if (typeof parsed === 'object' && parsed !== null) body = parsed as Record<string, unknown>;
  } catch {
    // No JSON in it: the status line is all that there is to say.
  }
  const title = text('title', body) ?? `${response.status} ${response.statusText}`.trim();
  return new Refusal(response.status, text('code', body), title, text('detail', body));
}

export type Fetch = typeof fetch;

export async function get<T>(path: string, token: string | null, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(BASE + path, {
      headers: headersWith(token, { accept: 'application/json' }),
      signal: signal ?? null,
      cache: 'no-store',
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Refusal(0, null, String(cause instanceof Error ? cause.message : cause), null);
  }
  if (!response.ok) throw await refusalOf(response);
  return (await response.json()) as T;
}

const query = (pairs: Record<string, string>) => new URLSearchParams(pairs).toString();

export const overviewPath = (namespace: string, window: string) => `/overview?${query({ namespace, window })}`;
export const streamUrl = (namespace: string, window: string) =>
  `${BASE}/overview/stream?${query({ namespace, window })}`;

export const getOverview = (namespace: string, window: string, token: string | null, signal?: AbortSignal) =>
  get<Overview>(overviewPath(namespace, window), token, signal);

export const getNamespaces = (token: string | null, signal?: AbortSignal) =>
  get<{ namespaces: string[] }>('/namespaces', token, signal);

export const getService = (namespace: string, service: string, token: string | null, signal?: AbortSignal) =>
  get<ServiceDetail>(
    `/namespaces/${encodeURIComponent(namespace)}/services/${encodeURIComponent(service)}`,
    token,
    signal,
  );

export const getTrace = (traceId: string, namespace: string, token: string | null, signal?: AbortSignal) =>
  get<Trace>(`/traces/${encodeURIComponent(traceId)}?${query({ namespace })}`, token, signal);
