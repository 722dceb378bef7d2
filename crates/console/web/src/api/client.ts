// One way to ask the API: with the token where there is one, and every refusal as a `Refusal` that carries what
// the server's problem document says. Callers never look at status codes by themselves.

import type {
  Breakers,
  BreakerOverride,
  Comparison,
  CriticalPath,
  DemoAct,
  EffectivePolicy,
  Events,
  Instance,
  Namespaces,
  Overview,
  Owner,
  Pin,
  Policy,
  PolicyHistory,
  Proxy,
  Receipt,
  Ring,
  ServiceDetail,
  Storage,
  Trace,
  Traces,
  Why,
} from './types';

const BASE = '/bellwether/v1';

/** An answer other than 2xx, or none at all (`status` 0). */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    /** The stable code of the problem (`BW-…`), or null where the answer was no problem document. */
    readonly code: string | null,
    readonly title: string,
    readonly detail: string | null,
    /** What to do about it, in the server's words. */
    readonly next: string | null = null,
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
  return new Refusal(response.status, text('code', body), title, text('detail', body), text('next', body));
}

export type Fetch = typeof fetch;

async function answered(url: string, init: RequestInit, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: signal ?? null, cache: 'no-store' });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Refusal(0, null, String(cause instanceof Error ? cause.message : cause), null);
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
}

export async function get<T>(path: string, token: string | null, signal?: AbortSignal): Promise<T> {
  const headers = headersWith(token, { accept: 'application/json' });
  return (await (await answered(BASE + path, { headers }, signal)).json()) as T;
}

/** Changes something. An answer without a body is null. */
export async function send<T>(
  method: 'PUT' | 'POST' | 'DELETE',
  path: string,
  body: unknown,
  token: string | null,
  more: Record<string, string> = {},
): Promise<T> {
  const given = body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'application/yaml' : 'application/json' };
  const headers = headersWith(token, { accept: 'application/json', ...given, ...more });
  const text = body === undefined || typeof body === 'string' ? (body ?? null) : JSON.stringify(body);
  const response = await answered(BASE + path, { method, headers, body: text });
  return (response.status === 204 ? null : await response.json()) as T;
}

const query = (pairs: Record<string, string | null>) =>
  new URLSearchParams(Object.entries(pairs).filter((pair): pair is [string, string] => pair[1] !== null)).toString();

/** A path of which every name is escaped. */
export const at = (strings: TemplateStringsArray, ...names: string[]): string =>
  String.raw({ raw: strings }, ...names.map(encodeURIComponent));

type Asking = [token: string | null, signal?: AbortSignal];

export const overviewPath = (namespace: string, window: string) => `/overview?${query({ namespace, window })}`;
export const streamUrl = (namespace: string, window: string) =>
  `${BASE}/overview/stream?${query({ namespace, window })}`;

export const getOverview = (namespace: string, window: string, ...asking: Asking) =>
  get<Overview>(overviewPath(namespace, window), ...asking);

export const getNamespaces = (...asking: Asking) => get<Namespaces>('/namespaces', ...asking);

const servicePath = (namespace: string, service: string) => at`/namespaces/${namespace}/services/${service}`;
const instancePath = (namespace: string, service: string, id: string) =>
  at`/namespaces/${namespace}/services/${service}/instances/${id}`;

export const getService = (namespace: string, service: string, ...asking: Asking) =>
  get<ServiceDetail>(servicePath(namespace, service), ...asking);

export const getRing = (namespace: string, service: string, ...asking: Asking) =>
  get<Ring>(`${servicePath(namespace, service)}/ring`, ...asking);

export const getOwner = (namespace: string, service: string, key: string, ...asking: Asking) =>
  get<Owner>(`${servicePath(namespace, service)}/owner?${query({ key })}`, ...asking);

export const getWhy = (namespace: string, service: string, id: string, ...asking: Asking) =>
  get<Why>(`${instancePath(namespace, service, id)}/why`, ...asking);

export const drain = (namespace: string, service: string, id: string, reason: string, force: boolean, token: string | null) =>
  send<Receipt>('POST', `${instancePath(namespace, service, id)}/drain`, { reason, force, timeout: '10s' }, token);

export const undrain = (namespace: string, service: string, id: string, reason: string, token: string | null) =>
  send<null>('DELETE', `${instancePath(namespace, service, id)}/drain?${query({ reason })}`, undefined, token);

export const override = (
  namespace: string,
  service: string,
  id: string,
  body: { status: string; reason: string; for?: string },
  token: string | null,
) => send<Instance>('PUT', `${instancePath(namespace, service, id)}/override`, body, token);

export const release = (namespace: string, service: string, id: string, reason: string, token: string | null) =>
  send<null>('DELETE', `${instancePath(namespace, service, id)}/override?${query({ reason })}`, undefined, token);

export const weigh = (
  namespace: string,
  service: string,
  id: string,
  body: { weight: number; reason: string; force: boolean },
  token: string | null,
) => send<Instance>('PUT', `${instancePath(namespace, service, id)}/weight`, body, token);

export const unweigh = (namespace: string, service: string, id: string, reason: string, token: string | null) =>
  send<null>('DELETE', `${instancePath(namespace, service, id)}/weight?${query({ reason })}`, undefined, token);

export const getTrace = (traceId: string, namespace: string, ...asking: Asking) =>
  get<Trace>(`${at`/traces/${traceId}`}?${query({ namespace })}`, ...asking);

/** Has a trace stay past its time; for ever where `lasts` is empty. */
export const pin = (traceId: string, reason: string, lasts: string, token: string | null) =>
  send<Pin>('POST', at`/traces/${traceId}/pin`, { reason, ...(lasts === '' ? {} : { for: lasts }) }, token);

export const unpin = (traceId: string, token: string | null) => send<null>('DELETE', at`/traces/${traceId}/pin`, undefined, token);

export const searchTraces = (wanted: Record<string, string | null>, ...asking: Asking) =>
  get<Traces>(`/traces?${query(wanted)}`, ...asking);

export const getCriticalPath = (traceId: string, ...asking: Asking) =>
  get<CriticalPath>(at`/traces/${traceId}/critical-path`, ...asking);

export const compareTraces = (before: string, after: string, ...asking: Asking) =>
  get<Comparison>(`/traces/compare?${query({ before, after })}`, ...asking);

export const getBreakers = (namespace: string, ...asking: Asking) =>
  get<Breakers>(`/breakers?${query({ namespace })}`, ...asking);

export const force = (namespace: string, service: string, body: { action: string; reason: string; for?: string }, token: string | null) =>
  send<BreakerOverride>('POST', `${servicePath(namespace, service)}/breaker`, body, token);

export const getEffectivePolicy = (namespace: string, service: string, ...asking: Asking) =>
  get<EffectivePolicy>(`${servicePath(namespace, service)}/policy`, ...asking);

export const actOnDemo = (namespace: string, act: DemoAct, token: string | null) =>
  send<DemoAct>('POST', at`/namespaces/${namespace}/demo`, act, token);

export const getEvents = (wanted: Record<string, string | null>, ...asking: Asking) =>
  get<Events>(`/events?${query(wanted)}`, ...asking);

const policyPath = (namespace: string, name: string) => at`/namespaces/${namespace}/policies/${name}`;

export const getPolicies = (namespace: string, ...asking: Asking) =>
  get<{ policies: Policy[] }>(`${at`/namespaces/${namespace}/policies`}?limit=1000`, ...asking);

export const getPolicyHistory = (namespace: string, name: string, ...asking: Asking) =>
  get<PolicyHistory>(`${policyPath(namespace, name)}/history`, ...asking);

/** Applies a document, JSON or YAML. `seen` is the revision that was edited; if it has changed since, nothing happens. */
export const putPolicy = (
  namespace: string,
  name: string,
  document: string,
  { seen, reason, dryRun }: { seen: number | null; reason: string | null; dryRun: boolean },
  token: string | null,
) =>
  send<Policy>('PUT', `${policyPath(namespace, name)}?${query({ reason, dry_run: String(dryRun) })}`, document, token, {
    ...(seen === null ? {} : { 'if-match': `"${seen}"` }),
  });

export const rollBack = (namespace: string, name: string, to: number, reason: string, token: string | null) =>
  send<Policy>('POST', `${policyPath(namespace, name)}/rollback?${query({ reason })}`, { to }, token);

export const deletePolicy = (namespace: string, name: string, reason: string, token: string | null) =>
  send<null>('DELETE', `${policyPath(namespace, name)}?${query({ reason })}`, undefined, token);

export const getStorage = (...asking: Asking) => get<Storage>('/storage', ...asking);

export const getProxies = (...asking: Asking) => get<{ proxies: Proxy[] }>('/proxies', ...asking);
