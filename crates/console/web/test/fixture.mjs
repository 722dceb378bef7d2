// A stand-in for the control plane, for looking at the console while working on it and for its browser test: serves
// ../dist with the binary's headers and answers the console's part of the API from made-up data. Each namespace is a
// scene: default (all is well), trouble, empty, hostile, large, two (the smallest system), map150 and the like (so many
// services), flood (updates as fast as they are read, each half a second later than the one before).
//
//   node test/fixture.mjs [--port 2399] [--token SECRET]

import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { extname, join, normalize } from 'node:path';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { Acts } from './fixture-acts.mjs';

export const HOSTILE = '<img src=x onerror=window.hacked=1>';

const DIST = new URL('../../dist/', import.meta.url).pathname;
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml' };
const SECURITY = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
};
/** Updates of the scene `flood`: an hour, at two a second. */
export const FLOOD = 7_200;
const STARTED = Date.now() - 3 * 3_600_000;
const MS = 1e6;
const WINDOWS = { '5m': 300, '15m': 900, '1h': 3600 };

const iso = (ms) => new Date(ms).toISOString().replace('Z', '123456Z');
const hex = (text, length) => {
  let out = '';
  for (let n = 2166136261, i = 0; out.length < length; i++) {
    for (const c of text + i) n = Math.imul(n ^ c.codePointAt(0), 16777619) >>> 0;
    out += n.toString(16).padStart(8, '0');
  }
  return out.slice(0, length);
};

const MIB = 1 << 20;
/** What the stores take; that of spans is at its budget. */
const STORAGE = {
  free_bytes: 18 * 1024 * MIB,
  reserve_bytes: 64 * MIB,
  stores: [
    ['catalog', 0.4, null, null, null, 14, null, null],
    ['events', 12, 256, 3, 16, 48_210, 12 * 86_400, 30 * 86_400],
    ['spans', 1010, 1024, 190, 384, 8_412_003, 2.2 * 86_400, 3 * 86_400],
    ['samples', 9, 256, 11, 64, 212, null, 3_600],
    ['series', 71, 256, 22, 64, 31_004_112, 9 * 86_400, 15 * 86_400],
  ].map(([store, disk, disk_budget, memory, memory_budget, entries, age, max_age]) => ({
    store,
    disk_bytes: Math.round(disk * MIB),
    disk_budget_bytes: disk_budget && disk_budget * MIB,
    memory_bytes: memory && memory * MIB,
    memory_budget_bytes: memory_budget && memory_budget * MIB,
    entries,
    oldest: age && iso(Date.now() - age * 1000),
    age_ns: age && age * 1e9,
    max_age_ns: max_age && max_age * 1e9,
  })),
};

function red(perSecond, errorRatio, p50, seconds, refused = 0) {
  const calls = Math.round(perSecond * seconds);
  const quantile = (ns) => (calls === 0 ? null : { estimate: ns, lower: Math.round(ns * 0.97), upper: Math.round(ns * 1.03) });
  const errors = Math.round(calls * errorRatio);
  return {
    calls,
    errors,
    refused,
    rate_per_second: calls / seconds,
    error_ratio: calls === 0 ? 0 : errors / calls,
    failing: calls >= 5 && errors / calls > 0.05,
    mean_ns: Math.round(p50 * 1.2),
    p50_ns: quantile(p50),
    p90_ns: quantile(Math.round(p50 * 2.4)),
    p99_ns: quantile(Math.round(p50 * 5.1)),
    max_ns: Math.round(p50 * 9),
  };
}

const up = (total, other = {}) => {
  const counts = { total, up: total, down: 0, starting: 0, draining: 0, maintenance: 0, ...other };
  counts.up = total - counts.down - counts.starting - counts.draining - counts.maintenance;
  return counts;
};

/** Those of the control plane's findings that the scenes have, in its order. */
function findings(services, edges) {
  const found = (kind, service, rest) => ({ kind, service, caller: null, since: null, why: '', version: null, instances: [], error_ratio: null, others_error_ratio: null, next: 'look_at_traces', commands: [`bellwether trace search 'service=${service} AND error=true'`], ...rest });
  const of = (state) => edges.filter(({ breaker }) => breaker?.state === state);
  const told = ({ caller, breaker: { since, reason } }) => ({ caller, since, why: reason ?? '' });
  const part = (service) => ({ version: '1.5.0', instances: [`${service}-2`], error_ratio: 0.98, others_error_ratio: 0.002 });
  return [
    ...of('open').map((edge) => found('breaker_open', edge.service, { ...told(edge), ...part(edge.service), next: 'drain', commands: [`bellwether instance drain ${edge.service} ${edge.service}-2`] })),
    ...Object.entries(services).filter(([, { up: n, down }]) => n === 0 && down > 0).map(([service]) => found('no_instance_up', service, { why: 'its lease has expired', instances: [`${service}-1`], next: 'look_at_instances', commands: [`bellwether why instance ${service} ${service}-1`] })),
    ...edges.filter(({ red: { failing } }) => failing).map(({ service, red: { error_ratio } }) => found('errors', service, { error_ratio })),
    ...of('half_open').map((edge) => found('breaker_probing', edge.service, { ...told(edge), next: 'wait', commands: [`bellwether breaker show ${edge.service} --watch`] })),
  ];
}

/** A scene: services with their instance counts, edges [caller, service, calls/s, error ratio, p50 in ms, breaker]. */
function scene(namespace) {
  const breaker = (state, reason, age) => ({ state, reason, since: iso(Date.now() - age * 1000) });
  const shop = {
    services: { storefront: up(2), catalog: up(3), checkout: up(2), payments: up(2), recommendations: up(1), mailer: up(1) },
    edges: [
      ['gateway', 'storefront', 42, 0.001, 18, null],
      ['storefront', 'catalog', 61, 0, 3.4, null],
      ['storefront', 'recommendations', 38, 0.004, 9.1, null],
      ['storefront', 'checkout', 4.2, 0.002, 31, null],
      ['checkout', 'catalog', 4.2, 0, 3.1, null],
      ['checkout', 'payments', 4.1, 0.003, 24, breaker('closed', null, 8000)],
    ],
  };
  if (namespace === 'two') {
    return { services: { storefront: up(1), catalog: up(1) }, edges: [['gateway', 'storefront', 0.4, 0, 4.2, null], ['storefront', 'catalog', 0.4, 0, 1.3, null]] };
  }
  if (namespace === 'trouble') {
    shop.services = { ...shop.services, payments: up(2, { down: 1 }), mailer: up(1, { down: 1 }), recommendations: up(3, { starting: 1, draining: 1 }) };
    shop.edges[5] = ['checkout', 'payments', 4.1, 0.63, 1400, breaker('open', '6 failures in a row (threshold 5): 503 from payments-2', 34)];
    shop.edges[2] = ['storefront', 'recommendations', 38, 0.08, 88, breaker('half_open', 'open_for has passed; 1 of 3 probes succeeded', 3)];
    shop.edges.push(['payments', 'ledger', 0.03, 0, 12, null], ['ledger', 'payments', 0.2, 0, 5, null], ['catalog', 'catalog', 2, 0, 1, null]);
  }
  if (namespace === 'hostile') {
    return { services: { [HOSTILE]: up(1), '"><script>hacked=1</script>': up(1) }, edges: [['gateway', HOSTILE, 1, 0.5, 9, breaker('open', HOSTILE, 9)], [HOSTILE, '"><script>hacked=1</script>', 1, 0, 2, null]] };
  }
  const many = namespace === 'large' ? 40 : Number(/^map(\d{1,3})$/.exec(namespace)?.[1] ?? 0);
  if (many > 0) {
    const name = (i) => `service-${String(i).padStart(3, '0')}`;
    const services = Object.fromEntries(Array.from({ length: many }, (_, i) => [name(i), up(1 + (i % 7))]));
    const edges = Array.from({ length: many - 1 }, (_, i) => [name(Math.floor(i / 3)), name(i + 1), 1 + (i % 9) * 7, i % 13 === 5 ? 0.12 : 0, 2 + i, null]);
    return { services, edges: [['gateway', name(0), 120, 0, 30, null], ...edges] };
  }
  return namespace === 'empty' ? { services: {}, edges: [] } : shop;
}

function spansOf(id, namespace) {
  const big = namespace === 'large';
  const hostile = namespace === 'hostile';
  const bad = namespace === 'trouble';
  const start = Date.now() - 9_000;
  const spans = [];
  const add = (name, parent, service, operation, kind, from, length, error) => {
    const span = {
      span_id: hex(id + name, 16),
      parent_span_id: parent && hex(id + parent, 16),
      service: hostile ? HOSTILE : service,
      operation: hostile ? `GET /${HOSTILE}` : operation,
      kind,
      start: iso(start + from),
      offset_ns: Math.round(from * MS),
      duration_ns: Math.round(length * MS),
      status: { code: error ? 'error' : 'unset', message: error ?? '' },
      attributes: hostile ? { [HOSTILE]: HOSTILE } : { 'http.request.method': operation.split(' ')[0], 'http.response.status_code': error ? 503 : 200, 'url.path': operation.split(' ')[1], 'server.address': `${service}-1` },
      events: error ? [{ offset_ns: Math.round((from + length) * MS), name: 'exception', attributes: { 'exception.message': hostile ? HOSTILE : error } }] : [],
      resource: { 'service.name': service, 'service.instance.id': `${service}-1`, 'service.version': '1.4.2' },
    };
    spans.push(span);
  };
  add('g', null, 'gateway', 'GET /checkout', 'server', 0, 48.2, null);
  add('a', 'g', 'storefront', 'GET /checkout', 'server', 0.6, 47.1, null);
  add('b', 'a', 'catalog', 'GET /items/{id}', 'server', 1.8, 3.4, null);
  add('b2', 'b', 'catalog', 'SELECT items', 'client', 2.1, 2.6, null);
  add('c', 'a', 'recommendations', 'GET /for/{user}', 'server', 5.6, 9.2, null);
  add('d', 'a', 'checkout', 'POST /orders', 'server', 15.1, 32, null);
  add('e', 'd', 'catalog', 'GET /prices', 'server', 15.9, 2.9, null);
  add('f', 'd', 'payments', 'POST /charges', 'server', 19.4, 24.1, bad || hostile ? 'upstream answered 503 Service Unavailable' : null);
  add('h', 'd', 'mailer', 'SEND confirmation', 'producer', 44.1, 0.18, null);
  add('z', 'missing', 'mailer', 'RENDER receipt', 'internal', 45, 1.4, null);
  if (big) for (let i = 0; i < 10_000; i++) add(`x${i}`, i % 9 ? 'a' : 'd', `service-${String(i % 12).padStart(3, '0')}`, `GET /page/${i}`, 'client', (i * 48) / 10_000, 0.4 + (i % 5), i % 97 ? null : 'timed out');
  const pinned = hostile ? { pinned: { trace_id: id, reason: HOSTILE, actor: HOSTILE, at: iso(start), until: null } } : {};
  return { ...pinned, trace_id: id, incomplete: !big, start: iso(start), duration_ns: 48.2 * MS, spans };
}

function overview(namespace, window, now = Date.now()) {
  const seconds = WINDOWS[window] ?? 300;
  const { services, edges } = scene(namespace);
  const wobble = (i) => 1 + 0.08 * Math.sin(now / 4000 + i);
  const drawn = edges.map(([caller, service, perSecond, ratio, p50, breaker], i) => ({
    caller,
    service,
    red: red(perSecond * wobble(i), ratio, p50 * MS * wobble(i + 2), seconds, breaker?.state === 'open' ? 311 : 0),
    breaker,
  }));
  const hostile = namespace === 'hostile';
  const operations = ['GET /', 'GET /checkout', 'GET /items/{id}', 'POST /orders', 'GET /for/{user}'];
  const traces = edges.length === 0 ? [] : Array.from({ length: 12 }, (_, i) => {
    const tick = Math.floor(now / 3000) - i;
    const failed = namespace === 'trouble' && tick % 4 === 0;
    return {
      trace_id: hex(`trace ${namespace} ${tick}`, 32),
      root: tick % 11 === 5 ? null : { service: hostile ? HOSTILE : 'storefront', operation: hostile ? HOSTILE : operations[Math.abs(tick) % 5] },
      start: iso(tick * 3000 - 400),
      duration_ns: Math.round((failed ? 1480 : 6 + (Math.abs(tick * 7919) % 40)) * MS),
      spans: 4 + (tick % 6),
      errors: failed ? 2 : 0,
      services: (hostile ? [HOSTILE] : ['storefront', 'catalog', 'checkout', 'payments']).map((service) => ({ service, spans: 2 })),
      incomplete: tick % 11 === 5,
    };
  });
  const event = (revision, age, kind, action, more) => ({ revision, at: iso(now - age * 1000), kind, action, namespace, service: null, instance: null, actor: null, reason: null, details: {}, exemplar_trace_ids: [], ...more });
  const events = namespace === 'empty' ? [event(1, 8, 'server', 'started', { details: { version: '0.1.0' } })] : [
    ...(namespace === 'trouble' ? [
      event(42, 34, 'breaker', 'open', { service: 'payments', reason: '6 failures in a row (threshold 5): 503 from payments-2', actor: 'gateway-1', details: { caller: 'checkout', failures: 6 }, exemplar_trace_ids: [hex('e1', 32), hex('e2', 32), hex('e3', 32)] }),
      event(41, 51, 'instance', 'down', { service: 'payments', instance: 'payments-2', reason: 'lease lapsed: no heartbeat for 10 s' }),
    ] : []),
    ...(hostile ? [event(40, 5, 'instance', HOSTILE, { service: HOSTILE, instance: HOSTILE, reason: HOSTILE, actor: HOSTILE, details: { [HOSTILE]: HOSTILE } })] : []),
    event(12, 610, 'policy', 'updated', { service: 'payments', actor: 'token ops', details: { policy: 'payments', number: 3, policy_revision: 9 } }),
    ...[9, 8, 7].map((n) => event(n, 3000 + 20 * n, 'instance', 'registered', { service: 'catalog', instance: `catalog-${n - 6}`, actor: 'loopback' })),
    event(1, 10_800, 'server', 'started', { details: { version: '0.1.0' } }),
  ];
  const received = namespace === 'flood' ? Math.round((now - STARTED) / 500) : 182_344 + Math.floor((now - STARTED) / 25);
  return {
    at: iso(now),
    namespace,
    window_ns: seconds * 1e9,
    revision: 42,
    services: Object.keys(services).sort().map((service) => {
      const into = drawn.filter((edge) => edge.service === service);
      const calls = into.reduce((sum, { red }) => sum + red.calls, 0);
      const errors = into.reduce((sum, { red }) => sum + red.errors, 0);
      const p50 = into[0]?.red.p50_ns?.estimate ?? 0;
      return { service, instances: services[service], red: red(calls / seconds, calls === 0 ? 0 : errors / calls, p50, seconds) };
    }),
    edges: drawn,
    findings: findings(services, drawn),
    traces,
    events,
    ledger: {
      spans: { received, stored: received - 4, sampled_out: 0, dropped: { too_large: 4 }, spooled: 0, expired: 0 },
      samples: { received: 0, stored: 0, sampled_out: 0, dropped: {}, spooled: 0, expired: 0 },
    },
    server: { version: '0.1.0', started: iso(STARTED), open_access: true },
  };
}

function service(namespace, name) {
  const counts = scene(namespace).services[name];
  if (counts === undefined) return null;
  const statuses = ['up', 'down', 'starting', 'draining', 'maintenance'].flatMap((status) => Array(counts[status]).fill(status));
  return {
    service: name,
    revision: 42,
    instances: statuses.map((status, i) => ({
      id: `${name}-${i + 1}`,
      address: '127.0.0.1',
      port: 9000 + i,
      status,
      reason: status === 'down' ? 'lease lapsed: no heartbeat for 10 s' : status,
      health: 'unchecked',
      since: iso(STARTED),
      zone: i % 2 ? 'b' : 'a',
      version: '1.4.2',
      weight: 100,
      metadata: namespace === 'hostile' ? { [HOSTILE]: HOSTILE } : i === 0 ? { team: 'shop', 'part-of': 'demo' } : {},
    })),
  };
}

const summary = ({ trace_id, start, duration_ns, spans }) => ({ trace_id, start, duration_ns, spans: spans.length, errors: 1, root: { service: spans[0].service, operation: spans[0].operation }, services: [{ service: spans[0].service, spans: 1 }], incomplete: false });

/** What the search finds: what the first page lists, over and over; the query language is the server's own. */
function found(namespace, params) {
  const { traces } = overview(namespace, '5m');
  const all = namespace === 'hostile' ? [...traces, summary(spansOf('bad0'.repeat(8), namespace))] : traces;
  return { traces: all.filter(({ errors }) => params.get('errors') !== 'true' || errors > 0), next: null };
}

function criticalPath(id, namespace) {
  const { spans, duration_ns } = spansOf(id, namespace);
  const names = [...new Set(spans.slice(0, 10).map(({ service }) => service))];
  const segments = spans.slice(1, 5).map(({ span_id, service, operation, offset_ns, duration_ns }) => ({ span_id, service, operation, offset_ns, duration_ns, wire: false }));
  const services = names.map((service, i) => ({ namespace, service, critical_ns: duration_ns / (i + 2) / 2, self_ns: duration_ns / (i + 2), total_ns: duration_ns / (i + 1), spans: 2, errors: i % 3 === 2 ? 1 : 0 }));
  return { duration_ns, wire_ns: MS, incomplete: false, services, segments };
}

function comparison(namespace) {
  const word = namespace === 'hostile' ? HOSTILE : 'payments';
  const change = (of, before_ns, after_ns) => ({ of, service: of === 'wire' ? null : word, operation: of === 'wire' ? null : `GET ${word}`, before_ns, after_ns, difference_ns: after_ns - before_ns });
  return { before: { traces: 1, errors: 0, mean_ns: 40 * MS }, after: { traces: 1, errors: 1, mean_ns: 61 * MS }, difference_ns: 21 * MS, changes: [change('operation', 10 * MS, 34 * MS), change('operation', 9 * MS, 6 * MS), change('wire', MS, MS)] };
}

function breakers(namespace) {
  const { edges, services } = scene(namespace);
  const counts = { successes: 1204, failures: 31, slow: 2, refused: 311, consecutive_failures: 6 };
  const rows = edges.filter((edge) => edge[5]).map(([caller, service, , , , { state, reason, since }]) => ({ namespace, service, caller, proxy: 'gateway', route: 'default', state, reason: reason ?? '', since, counts }));
  const name = Object.keys(services)[0];
  const overrides = namespace === 'hostile' ? [{ service: name, action: 'force_open', since: iso(STARTED), until: iso(Date.now() + 9e5), actor: HOSTILE, reason: HOSTILE }] : [];
  return { breakers: rows, endpoints: rows.map(({ service }) => ({ service, instance: `${service}-2`, proxy: 'gateway', in_flight: 0, state: 'open', ejected: '5 failures in a row' })), overrides };
}

function policies(namespace) {
  const word = namespace === 'hostile' ? HOSTILE : 'payments';
  const document = (threshold) => ({ apiVersion: 'bellwether.dev/v1', kind: 'ServicePolicy', metadata: { name: word, namespace }, spec: { service: word, circuit_breaker: { consecutive_failures: { threshold } } } });
  const revision = (revision, threshold) => ({ revision, number: revision, at: iso(Date.now() - 9e6 / revision), action: 'updated', actor: 'token ops', from: 'http', reason: word, document: document(threshold) });
  return { word, list: { revision: 9, policies: [{ name: word, kind: 'ServicePolicy', service: word, ...revision(9, 5) }], next: null }, history: { forgotten: 0, revisions: [revision(3, 8), revision(9, 5)] } };
}

/** What holds for a service: what is built in, and a policy over it. */
function effective(namespace, service) {
  const word = namespace === 'hostile' ? HOSTILE : 'payments';
  const of = (from) => ({ from, policy: from === 'built_in' ? null : word, revision: from === 'built_in' ? null : 9 });
  return {
    namespace,
    service,
    policy_revision: 9,
    policy: { timeouts: { connect: '1s', attempt: null, call: '15s' }, retry: { max_retries: 1, on: ['connect_failure', 'refused_stream'] }, circuit_breaker: { mode: 'enforce', consecutive_failures: { threshold: 5 } }, fallback: namespace === 'hostile' ? { body: word } : null, rate_limits: [] },
    origins: { timeouts: of('built_in'), retry: of('built_in'), circuit_breaker: of('service'), fallback: of('service'), rate_limits: of('built_in') },
  };
}

/** Waves for whatever is asked; their labels are hostile where the scene is. */
function range(namespace, params) {
  const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(params.get(name)));
  const services = Object.keys(scene(namespace).services);
  const value = (at, i) => (2 + i + Math.sin(at / 40 + i)) * (/quantile/.test(params.get('query')) ? 0.01 : /outcome/.test(params.get('query')) ? 0.004 : 1);
  const values = (i) => Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, n) => [start + n * step, String(value(start + n * step, i))]);
  const asked = /service="((?:[^"\\\\]|\\\\.)*)"/.exec(params.get('query'))?.[1];
  const wanted = services.filter((service) => asked === undefined || service.replaceAll('"', '\\\\"') === asked);
  return { status: 'success', data: { resultType: 'matrix', result: wanted.map((service, i) => ({ metric: namespace === 'hostile' && !/sum by|histogram/.test(params.get('query')) ? { __name__: HOSTILE, [HOSTILE]: HOSTILE, service } : { service }, values: values(i) })) } };
}

/** What is below a service: its ring, the owner of a key, why an instance is what it is. */
function below(namespace, path, params, seen) {
  const [, name, rest] = /^([^/]+(?:\/[^/]*>)?)(?:\/(.*))?$/.exec(path) ?? [];
  const of = service(namespace, name ?? path);
  const shown = (found) => found && { ...found, instances: seen.instances(namespace, found.instances) };
  if (of === null || rest === undefined) return shown(service(namespace, path));
  if (rest === 'policy') return effective(namespace, name);
  const { instances } = of;
  const word = namespace === 'hostile' ? HOSTILE : 'the lease holds';
  if (rest === 'ring') return { service: name, algorithm: 'ring', points: 160 * instances.length, members: instances.map(({ id, status }) => ({ id, status, weight: 100, points: 160, share: 1 / instances.length })) };
  if (rest === 'owner') return { key: params.get('key'), instance: instances.find(({ status }) => status === 'up') ?? null, home: instances[0], reason: word };
  const id = /^instances\/(.*)\/why$/.exec(rest)?.[1];
  const change = { revision: 7, at: iso(STARTED), action: 'registered', actor: 'operator', reason: word, status: 'up' };
  return id === undefined ? null : { instance_id: id, sentence: `${id} of ${name} is up: ${word}.`, facts: [], lease: { ttl: '10s', state: 'holds', left_ns: 4e9 }, proxies: [{ proxy: 'gateway', in_flight: 2, ejected: '' }], changes: [change] };
}

export function start({ port = 0, token = null } = {}) {
  const problem = (response, status, code, title, detail) => {
    response.writeHead(status, { ...SECURITY, 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ type: 'about:blank', title, status, code, detail }));
  };
  const acts = new Acts();
  const { seen } = acts;
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://fixture');
    const path = decodeURIComponent(url.pathname);
    const namespace = url.searchParams.get('namespace') ?? 'default';
    const window = url.searchParams.get('window') ?? '5m';
    const json = (body) => {
      if (body === null) return problem(response, 404, 'BW-1404', 'Not found', `nothing at ${path}`);
      response.writeHead(200, { ...SECURITY, 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    if (path === '/api/v1/label/__name__/values') return json({ status: 'success', data: ['bellwether_calls_total'] });
    if (path === '/api/v1/query_exemplars') {
      const end = Number(url.searchParams.get('end'));
      const exemplar = (age) => ({ labels: { trace_id: hex(`exemplar ${age}`, 32) }, value: String(0.021 * age), timestamp: end - age });
      return json({ status: 'success', data: [{ seriesLabels: {}, exemplars: [12, 40, 95].map(exemplar) }] });
    }
    if (path === '/api/v1/query_range') return json(range(/namespace="([^"]*)"/.exec(url.searchParams.get('query'))?.[1] ?? 'default', url.searchParams));
    if (path.startsWith('/bellwether/')) {
      if (token !== null && request.headers.authorization !== `Bearer ${token}`) {
        return problem(response, 401, 'BW-1401', 'A token is needed', 'send a bearer token with the scope read');
      }
      const at = path.slice('/bellwether/v1'.length);
      if (request.method !== 'GET') {
        let text = '';
        for await (const chunk of request) text += chunk;
        const body = text === '' ? null : JSON.parse(text);
        const [status, answer] = acts.take(request.method, at, url.searchParams, body) ?? [404, { title: 'Not found', code: 'BW-1404' }];
        response.writeHead(status, { ...SECURITY, 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });
        return response.end(answer === null ? '' : JSON.stringify(answer));
      }
      if (at === '/overview') return json(seen.overview(overview(namespace, window)));
      if (at === '/namespaces') return json({ namespaces: ['default', 'empty', 'hostile', 'large', 'trouble', 'two'] });
      if (at === '/overview/stream') {
        response.writeHead(200, { ...SECURITY, 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
        let id = Number(request.headers['last-event-id'] ?? 0);
        const send = () => response.write(`id: ${++id}\nevent: overview\ndata: ${JSON.stringify(seen.overview(overview(namespace, window)))}\n\n`);
        send();
        if (namespace === 'flood') {
          // As fast as the page reads, which the sockets' buffers tell.
          const flood = async () => {
            for (let n = 1; n <= FLOOD && !response.destroyed; n++) {
              const text = JSON.stringify(overview('flood', window, STARTED + 500 * n));
              if (!response.write(`id: ${++id}\nevent: overview\ndata: ${text}\n\n`)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
              else await new Promise(setImmediate);
            }
          };
          flood();
          return undefined;
        }
        const timer = setInterval(send, 500);
        response.on('close', () => clearInterval(timer));
        return undefined;
      }
      if (at === '/storage') return json(STORAGE);
      if (at === '/proxies') return json({ proxies: [{ proxy: 'gateway-1', version: '0.1.0', connected: true, revision: 42, state: 'synced', policy_revision: 9, policy_state: 'synced', reported_at: iso(Date.now() - 900), snapshot_age_ns: 0, client_connections: 12, endpoint_connections: 9 }, { proxy: 'gateway-2', version: '0.1.0', connected: false, revision: 40, state: 'stale', policy_revision: 9, policy_state: 'synced', reported_at: iso(Date.now() - 9e4), snapshot_age_ns: 9e10, client_connections: 0, endpoint_connections: 0 }] });
      if (at === '/breakers') return json(seen.breakers(namespace, breakers(namespace)));
      if (at === '/events') return json({ events: seen.events(namespace, overview(namespace, '5m').events).filter(({ kind }) => kind === (url.searchParams.get('kind') ?? kind)), revision: 42 });
      const policy = /^\/namespaces\/([^/]+)\/policies(\/.+)?$/.exec(at);
      if (policy) {
        const name = /^\/(.+)\/history$/.exec(policy[2] ?? '')?.[1];
        return json(name === undefined ? seen.policies(policy[1], policies(policy[1]).list) : seen.history(policy[1], name, policies(policy[1]).history));
      }
      if (at === '/traces') return json(found(namespace, url.searchParams));
      if (at === '/traces/compare') return json(comparison(url.searchParams.get('before').startsWith('bad0') ? 'hostile' : namespace));
      const way = /^\/traces\/([0-9a-f]+)\/critical-path$/.exec(at);
      if (way) return json(criticalPath(way[1], namespace));
      const trace = /^\/traces\/([0-9a-f]+)$/.exec(at);
      if (trace) return json(trace[1].length === 32 ? seen.trace(spansOf(trace[1], namespace)) : null);
      const named = /^\/namespaces\/([^/]+)\/services\/(.+)$/.exec(at);
      return json(named ? below(named[1], named[2], url.searchParams, seen) : null);
    }
    const file = extname(path) === '' ? 'index.html' : normalize(path);
    try {
      const bytes = readFileSync(join(DIST, file));
      response.writeHead(200, { ...SECURITY, 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-cache' });
      response.end(bytes);
    } catch {
      problem(response, 404, 'BW-1404', 'Not found', `nothing at ${path}`);
    }
    return undefined;
  });
  return new Promise((resolve) => {
    server.listen(port, '127.0.0.1', () => resolve({ server, base: `http://127.0.0.1:${server.address().port}` }));
  });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '2399' }, token: { type: 'string' } } });
  const { base } = await start({ port: Number(values.port), token: values.token ?? null });
  console.log(base);
}
