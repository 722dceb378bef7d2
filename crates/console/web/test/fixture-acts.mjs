// What the fixture's viewer may do: every act changes what the fixture answers from then on, as the control plane's
// would, and is an event. Nothing here knows the data; the fixture passes its own through `seen`.

const iso = (ms) => new Date(ms).toISOString();
const PERIODS = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const until = (lasts) => (lasts ? iso(Date.now() + Number.parseInt(lasts, 10) * PERIODS[lasts.at(-1)]) : null);

export class Acts {
  events = [];
  #drained = new Map();
  #overridden = new Map();
  #weighed = new Map();
  #forced = new Map();
  #policies = new Map();
  #pinned = new Map();
  #revision = 1_000;

  #tell(namespace, kind, action, reason, more = {}) {
    const event = { revision: ++this.#revision, at: iso(Date.now()), kind, action, namespace, service: null, instance: null, actor: 'operator', reason, details: {}, exemplar_trace_ids: [], ...more };
    this.events.unshift(event);
    return event;
  }

  /** The answer to an act: `[status, body]`, or undefined where the path is none. */
  take(method, path, query, body) {
    const reason = () => body?.reason ?? query.get('reason') ?? '';
    const one = /^\/namespaces\/([^/]+)\/services\/(.+)\/instances\/([^/]+)\/(drain|override|weight)$/.exec(path);
    if (one) return this.#instance(method, one, body, reason());
    const breaker = /^\/namespaces\/([^/]+)\/services\/(.+)\/breaker$/.exec(path);
    if (breaker) {
      const [, namespace, service] = breaker;
      const said = { namespace, service, action: body.action, since: iso(Date.now()), until: until(body.for), actor: 'operator', reason: reason() };
      this.#forced.set(`${namespace}/${service}`, said);
      this.#tell(namespace, 'breaker', body.action, reason(), { service, details: { until: said.until ?? '' } });
      return [200, said];
    }
    const pin = /^\/traces\/([0-9a-f]+)\/pin$/.exec(path);
    if (pin) {
      const pinned = { trace_id: pin[1], reason: reason(), actor: 'operator', at: iso(Date.now()), until: until(body?.for) };
      if (method === 'DELETE') this.#pinned.delete(pin[1]);
      else this.#pinned.set(pin[1], pinned);
      const said = method === 'DELETE' ? ['trace_unpinned', 'it is kept no longer than others'] : ['trace_pinned', reason()];
      this.#tell(null, 'server', ...said, { details: { trace_id: pin[1] }, exemplar_trace_ids: [pin[1]] });
      return method === 'DELETE' ? [204, null] : [200, pinned];
    }
    const demo = /^\/namespaces\/([^/]+)\/demo$/.exec(path);
    if (demo) {
      this.#tell(demo[1], 'instance', `demo_${body.action}`, JSON.stringify(body), { service: body.service ?? null, instance: body.instance ?? null });
      return [200, body];
    }
    const policy = /^\/namespaces\/([^/]+)\/policies\/([^/]+)(\/rollback)?$/.exec(path);
    return policy ? this.#policy(method, policy, query, body) : undefined;
  }

  #instance(method, [, namespace, service, id, what], body, reason) {
    const held = { drain: this.#drained, override: this.#overridden, weight: this.#weighed }[what];
    const ends = method === 'DELETE';
    if (ends) held.delete(`${namespace}/${id}`);
    else held.set(`${namespace}/${id}`, { status: body.status ?? 'draining', weight: body.weight, by: 'operator', at: iso(Date.now()), reason, until: until(body.for) });
    const [began, ended] = { drain: ['draining', 'undrained'], override: ['overridden', 'released'], weight: ['weighed', 'unweighed'] }[what];
    const action = ends ? ended : began;
    this.#tell(namespace, 'instance', action, reason, { service, instance: id });
    if (ends) return [204, null];
    if (what !== 'drain') return [200, { id }];
    return [200, { instance: id, safe: true, reason: 'every proxy has let go of it', elapsed_ns: 12e6, revision: this.#revision, subscribers: [{ subscriber: 'gateway-1', kind: 'proxy', state: 'quiesced', in_flight: 0 }] }];
  }

  #policy(method, [, namespace, name, rollback], query, body) {
    const key = `${namespace}/${name}`;
    const history = this.#policies.get(key) ?? [];
    const document = rollback ? history.find(({ revision }) => revision === body.to)?.document : method === 'DELETE' ? null : body;
    if (document === undefined) return [404, { title: 'Not found', code: 'BW-1404' }];
    const threshold = document?.spec?.circuit_breaker?.consecutive_failures?.threshold;
    if (threshold !== undefined && !(threshold > 0)) {
      return [400, { title: 'Not valid', code: 'BW-1400', detail: '/spec/circuit_breaker/consecutive_failures/threshold: 1 or more', next: 'say a number from 1 on' }];
    }
    const action = rollback ? 'rolled_back' : document === null ? 'deleted' : history.length === 0 ? 'created' : 'updated';
    const made = { revision: this.#revision + 1, number: history.length + 1, at: iso(Date.now()), action, actor: 'operator', from: 'http', reason: query.get('reason') ?? '', document };
    const shown = { ...made, namespace, name, kind: 'ServicePolicy', service: document?.spec?.service ?? null };
    if (query.get('dry_run') === 'true') return [200, shown];
    this.#tell(namespace, 'policy', action, made.reason, { service: shown.service, details: { policy: name, number: String(made.number) } });
    this.#policies.set(key, [...history, made]);
    return document === null ? [204, null] : [200, shown];
  }

  /** What an answer says with everything that was done. */
  seen = {
    overview: (of) => ({ ...of, events: [...this.#of(of.namespace), ...of.events], revision: of.revision + this.#revision - 1_000 }),
    events: (namespace, events) => [...this.#of(namespace), ...events],
    instances: (namespace, instances) =>
      instances.map((instance) => {
        const key = `${namespace}/${instance.id}`;
        const [drain, override] = [this.#drained.get(key), this.#overridden.get(key)];
        const held = override ?? drain;
        const said = this.#weighed.get(key);
        const registered = instance.weight ?? 100;
        const weighing = said ? { weight: said.weight, weighed: { ...said, registered } } : {};
        return held ? { ...instance, ...weighing, drain, override, status: held.status, reason: held.reason } : { ...instance, ...weighing };
      }),
    breakers: (namespace, answer) => ({ ...answer, overrides: [...answer.overrides, ...[...this.#forced.values()].filter((said) => said.namespace === namespace)] }),
    trace: (trace) => (this.#pinned.has(trace.trace_id) ? { ...trace, pinned: this.#pinned.get(trace.trace_id) } : trace),
    policies: (namespace, list) => {
      const mine = [...this.#policies].filter(([key]) => key.startsWith(`${namespace}/`)).map(([key, history]) => ({ name: key.slice(namespace.length + 1), kind: 'ServicePolicy', service: history.at(-1).document?.spec?.service ?? null, ...history.at(-1) }));
      return { ...list, policies: [...list.policies, ...mine.filter(({ document }) => document !== null)] };
    },
    history: (namespace, name, history) => {
      const mine = this.#policies.get(`${namespace}/${name}`);
      return mine === undefined ? history : { forgotten: 0, revisions: mine };
    },
  };

  #of = (namespace) => this.events.filter((event) => event.namespace === namespace || event.namespace === null);
}
