// Everything that a view shows is in its address, so that a link shows a colleague the same thing. What equals the
// default is left out: the shortest address is the most common view.
//
// Language and theme belong to the reader, not to the view; they are kept in the browser. `?lang=` and `?theme=`
// override them for one visit.

export const WINDOWS = ['5m', '15m', '1h'] as const;
export type Window = (typeof WINDOWS)[number];

/** The pages with a path of their own; `map` is home, and traces have pages below theirs. */
export const SECTIONS = ['services', 'traces', 'breakers', 'metrics', 'events', 'connect', 'cluster'] as const;
export type Section = (typeof SECTIONS)[number];

export type Page =
  | { name: 'map' }
  | { name: Section }
  | { name: 'trace'; traceId: string }
  | { name: 'compare' }
  | { name: 'unknown'; path: string };

/** `/metrics` is the server's own, for Prometheus to scrape. */
const pathOfSection = (name: Section): string => (name === 'metrics' ? '/signals' : `/${name}`);

/** What a view chooses by name or by text, and the pages to which it belongs. Null = nothing chosen. */
const TEXTS = {
  /** The selected service; on the map with `caller`, the selected edge into it. */
  service: ['map', 'services', 'traces', 'breakers', 'events'],
  caller: ['map'],
  /** The key whose owner is looked up. */
  key: ['services'],
  /** The selected span. */
  span: ['trace'],
  /** Only events of this kind. */
  kind: ['events'],
  /** The policy in the editor. */
  policy: ['breakers'],
  /** What is searched for, in the query language; on metrics, what is drawn, in PromQL. */
  q: ['traces', 'metrics'],
  /** Only what failed: `yes`. */
  failed: ['traces'],
  /** What is boxed in: durations such as `12ms`, times of RFC 3339. */
  min: ['traces'],
  max: ['traces'],
  from: ['traces', 'services', 'metrics'],
  to: ['traces', 'services', 'metrics'],
  /** The two traces that are compared; on the list with `before`, the second one is being chosen. */
  before: ['traces', 'compare'],
  after: ['compare'],
} as const satisfies Record<string, readonly Page['name'][]>;
type Text = keyof typeof TEXTS;
const NAMES = Object.keys(TEXTS) as Text[];

export interface View extends Record<Text, string | null> {
  page: Page;
  namespace: string;
  window: Window;
  paused: boolean;
  /** Map: the table behind the graph instead of the graph. Null = as the size of the map suggests. */
  table: boolean | null;
  lang: string | null;
  theme: string | null;
}

/** No choices: what a link to another page begins with. */
export const CLEAN = Object.fromEntries(NAMES.map((name) => [name, null])) as Record<Text, null>;

export const HOME: View = {
  page: { name: 'map' },
  namespace: 'default',
  window: '5m',
  paused: false,
  table: null,
  ...CLEAN,
  lang: null,
  theme: null,
};

function pageOf(path: string): Page {
  const bare = path.replace(/\/$/, '');
  if (bare === '') return { name: 'map' };
  const section = SECTIONS.find((name) => bare === pathOfSection(name));
  if (section !== undefined) return { name: section };
  if (bare === '/traces/compare') return { name: 'compare' };
  const trace = /^\/traces\/([0-9a-fA-F]{1,32})$/.exec(bare);
  return trace ? { name: 'trace', traceId: trace[1]!.toLowerCase() } : { name: 'unknown', path };
}

function pathOf(page: Page): string {
  switch (page.name) {
    case 'map':
      return '/';
    case 'trace':
      return `/traces/${page.traceId}`;
    case 'compare':
      return '/traces/compare';
    case 'unknown':
      return page.path;
    default:
      return pathOfSection(page.name);
  }
}

const belongs = (name: Text, { page, service }: { page: Page; service: string | null }): boolean =>
  (TEXTS[name] as readonly string[]).includes(page.name) && (name !== 'caller' || service !== null);

export function parseView(url: { pathname: string; search: string }): View {
  const query = new URLSearchParams(url.search);
  const text = (name: string) => query.get(name) || null;
  const shape = text('view');
  const page = pageOf(url.pathname);
  const chosen = { page, service: text('service') };
  const texts = NAMES.map((name) => [name, belongs(name, chosen) ? text(name) : null]);
  return {
    page,
    namespace: text('namespace') ?? HOME.namespace,
    window: WINDOWS.find((window) => window === text('window')) ?? HOME.window,
    paused: text('live') === 'off',
    table: shape === 'table' ? true : shape === 'graph' ? false : null,
    ...(Object.fromEntries(texts) as Record<Text, string | null>),
    lang: text('lang'),
    theme: text('theme'),
  };
}

export function formatView(view: View): string {
  const query = new URLSearchParams();
  const put = (name: string, value: string | null) => value !== null && query.set(name, value);
  put('namespace', view.namespace === HOME.namespace ? null : view.namespace);
  put('window', view.window === HOME.window ? null : view.window);
  put('live', view.paused ? 'off' : null);
  if (view.page.name === 'map') put('view', view.table === null ? null : view.table ? 'table' : 'graph');
  for (const name of NAMES) if (belongs(name, view)) put(name, view[name]);
  put('lang', view.lang);
  put('theme', view.theme);
  const search = query.toString();
  return pathOf(view.page) + (search === '' ? '' : `?${search}`);
}
