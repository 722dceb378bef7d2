// The shapes of the control plane's native API, as far as the console reads them.
// Durations are integers of nanoseconds (below 2^53: 104 days), timestamps RFC 3339, ids opaque.

export interface Quantile {
  estimate: number;
  lower: number;
  upper: number;
}

/** Rate, errors and duration of one population of calls over the window. */
export interface Red {
  calls: number;
  errors: number;
  refused: number;
  rate_per_second: number;
  error_ratio: number;
  /** Whether that is so many of so many calls that it means something. */
  failing: boolean;
  mean_ns: number | null;
  p50_ns: Quantile | null;
  p90_ns: Quantile | null;
  p99_ns: Quantile | null;
  max_ns: number | null;
}

export interface InstanceCounts {
  total: number;
  up: number;
  down: number;
  starting: number;
  draining: number;
  maintenance: number;
}

export interface ServiceRow {
  service: string;
  instances: InstanceCounts;
  red: Red;
}

export interface Breaker {
  /** `closed`, `open`, `half_open`, and the states that an operator forces. */
  state: string;
  since: string | null;
  reason: string | null;
}

export interface Edge {
  caller: string;
  service: string;
  red: Red;
  breaker: Breaker | null;
}

export interface TraceSummary {
  trace_id: string;
  root: { service: string; operation: string } | null;
  start: string;
  duration_ns: number;
  spans: number;
  errors: number;
  services: { service: string; spans: number }[];
  incomplete: boolean;
  kept_one_in?: number;
}

export interface GovernanceEvent {
  revision: number;
  at: string;
  kind: string;
  action: string;
  namespace: string | null;
  service: string | null;
  instance: string | null;
  actor: string | null;
  reason: string | null;
  details: Record<string, unknown> | null;
  exemplar_trace_ids: string[] | null;
}

export interface Ledger {
  received: number;
  stored: number;
  sampled_out: number;
  dropped: Record<string, number>;
  spooled: number;
  expired: number;
}

export type FindingKind = 'breaker_open' | 'no_instance_up' | 'errors' | 'breaker_probing' | 'instances_down';
export type NextStep = 'drain' | 'look_at_traces' | 'look_at_instances' | 'end_force' | 'wait';

/** Something that is wrong now. */
export interface Finding {
  kind: FindingKind;
  service: string;
  caller: string | null;
  since: string | null;
  why: string;
  /** Of all instances that it is about. */
  version: string | null;
  instances: string[];
  error_ratio: number | null;
  /** Of the rest of the service, where a part of it stands out. */
  others_error_ratio: number | null;
  next: NextStep;
  commands: string[];
}

export interface Overview {
  at: string;
  namespace: string;
  window_ns: number;
  revision: number;
  services: ServiceRow[];
  edges: Edge[];
  /** The worst first. */
  findings: Finding[];
  traces: TraceSummary[];
  events: GovernanceEvent[];
  ledger: { spans: Ledger; samples: Ledger };
  server: { version: string; started: string; open_access: boolean; failing?: { store: string; why: string }[] };
}

export interface Namespaces {
  namespaces: string[];
}

export interface Instance {
  id: string;
  address: string;
  port: number;
  status: string;
  reason: string | null;
  since: string | null;
  health: string | null;
  checks?: { verdict: string; why: string | null }[];
  zone: string | null;
  version: string | null;
  weight: number | null;
  metadata: Record<string, string> | null;
  drain?: { by: string; at: string; reason: string } | null;
  override?: { status: string; by: string; at: string; reason: string; until: string | null } | null;
  /** What an operator says that its weight is. */
  weighed?: { weight: number; registered: number; by: string; at: string; reason: string } | null;
}

export interface ServiceDetail {
  service: string;
  revision: number;
  instances: Instance[];
}

export interface SpanEvent {
  offset_ns: number;
  name: string;
  attributes: Record<string, unknown> | null;
}

export interface Span {
  span_id: string;
  parent_span_id: string | null;
  service: string;
  operation: string;
  kind: string;
  start: string;
  /** From the trace's start; negative where a caller's clock runs ahead. */
  offset_ns: number;
  duration_ns: number;
  status: { code: string; message: string | null };
  attributes: Record<string, unknown> | null;
  events: SpanEvent[] | null;
  resource: Record<string, unknown> | null;
  /** Its sender kept one in so many, as it tells. */
  kept_one_in?: number;
  scope?: { name: string; version: string; attributes: Record<string, unknown> };
}

export interface Trace {
  trace_id: string;
  incomplete: boolean;
  kept_one_in?: number;
  start: string;
  duration_ns: number;
  /** Why it stays past its time, where somebody pinned it. */
  pinned?: Pin;
  spans: Span[];
}

export interface Pin {
  trace_id: string;
  reason: string;
  actor: string;
  at: string;
  /** Null = for ever. */
  until: string | null;
}

/** Which part of all keys each instance owns. */
export interface Ring {
  service: string;
  algorithm: string;
  points: number;
  members: { id: string; status: string; weight: number; points: number; share: number }[];
}

export interface Owner {
  key: string;
  instance: Instance | null;
  home: Instance;
  reason: string;
}

/** Who was told that an instance drains, and whether each has stopped calling it. */
export interface Receipt {
  instance: string;
  safe: boolean;
  reason: string;
  elapsed_ns: number;
  subscribers: { subscriber: string; kind: string; state: string; in_flight: number }[];
}

export interface Why {
  instance_id: string;
  sentence: string;
  facts: { fact: string; status: string; says: string; since: string | null; until: string | null; by: string | null; reason: string | null }[];
  lease: { ttl: string; state: string; left_ns: number | null } | null;
  proxies: { proxy: string; in_flight: number; ejected: string }[];
  changes: { revision: number; at: string; action: string; actor: string; reason: string; status: string | null }[];
}

export interface Traces {
  traces: TraceSummary[];
  next: string | null;
}

/** Where the time of a call went. */
export interface CriticalPath {
  duration_ns: number;
  wire_ns: number;
  incomplete: boolean;
  services: { namespace: string; service: string; critical_ns: number; self_ns: number; total_ns: number; spans: number; errors: number }[];
  segments: { span_id: string; service: string; operation: string; offset_ns: number; duration_ns: number; wire: boolean }[];
}

export interface ComparedSet {
  traces: number;
  errors: number;
  mean_ns: number;
}

export interface Comparison {
  before: ComparedSet;
  after: ComparedSet;
  difference_ns: number;
  changes: {
    of: string;
    service: string | null;
    operation: string | null;
    before_ns: number;
    after_ns: number;
    difference_ns: number;
  }[];
}

export interface BreakerRow {
  namespace: string;
  service: string;
  proxy: string;
  caller: string;
  route: string;
  state: string;
  reason: string;
  since: string;
  counts: { successes: number; failures: number; slow: number; refused: number; consecutive_failures: number };
}

/** What an operator has a service's breakers do. */
export interface BreakerOverride {
  service: string;
  action: string;
  since: string;
  until: string | null;
  actor: string;
  reason: string;
}

export interface Breakers {
  breakers: BreakerRow[];
  endpoints: { service: string; instance: string; proxy: string; in_flight: number; state: string; ejected: string }[];
  overrides: BreakerOverride[];
}

export interface Events {
  events: GovernanceEvent[];
  revision: number;
}

export interface Policy {
  name: string;
  kind: string;
  service: string | null;
  revision: number;
  at: string;
  actor: string;
  reason: string;
  document: unknown;
}

export interface PolicyHistory {
  forgotten: number;
  revisions: { revision: number; at: string; action: string; actor: string; reason: string; document: unknown }[];
}

/** What holds for the calls of a service: each section with its values (null = off), and where it comes from. */
export interface EffectivePolicy {
  service: string;
  policy_revision: number;
  policy: Record<string, unknown>;
  origins: Record<string, { from: string; policy: string | null; revision: number | null }>;
}

/** What is done to the services of a running demo. */
export interface DemoAct {
  action: 'break' | 'kill' | 'release' | 'heal';
  service?: string;
  instance?: string;
  latency?: string;
  errors?: string;
  version?: string;
}

/** What the stores take, and of how much. */
export interface Storage {
  free_bytes: number | null;
  reserve_bytes: number;
  stores: StoreUse[];
}

export interface StoreUse {
  store: string;
  disk_bytes: number;
  disk_budget_bytes: number | null;
  memory_bytes: number | null;
  memory_budget_bytes: number | null;
  entries: number;
  oldest: string | null;
  age_ns: number | null;
  max_age_ns: number | null;
}

/** A data plane, and whether it routes by what holds. */
export interface Proxy {
  proxy: string;
  version: string;
  connected: boolean;
  revision: number;
  state: string;
  policy_state: string;
  reported_at: string | null;
  snapshot_age_ns: number | null;
  client_connections: number;
  endpoint_connections: number;
}
