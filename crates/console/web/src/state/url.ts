// Everything that a view shows is in its address, so that a link shows a colleague the same thing. What equals the
// default is left out: the shortest address is the most common view.
//
// Language and theme belong to the reader, not to the view; they are kept in the browser. `?lang=` and `?theme=`
// override them for one visit.

export const WINDOWS = ['5m', '15m', '1h'] as const;
export type Window = (typeof WINDOWS)[number];

export type Page = { name: 'map' } | { name: 'trace'; traceId: string } | { name: 'unknown'; path: string };

export interface View {
  page: Page;
  namespace: string;
  window: Window;
  paused: boolean;
  /** Map: the table behind the graph instead of the graph. Null = as the size of the map suggests. */
  table: boolean | null;
  /** Map: the selected service, or with `caller` the selected edge into it. */
  service: string | null;
  caller: string | null;
  /** Trace: the selected span. */
  span: string | null;
  lang: string | null;
  theme: string | null;
}

export const HOME: View = {
  page: { name: 'map' },
  namespace: 'default',
  window: '5m',
  paused: false,
  table: null,
  service: null,
  caller: null,
  span: null,
  lang: null,
  theme: null,
};

function pageOf(path: string): Page {
  if (path === '/' || path === '') return { name: 'map' };
  const trace = /^\/traces\/([0-9a-fA-F]{1,32})\/?$/.exec(path);
  return trace ? { name: 'trace', traceId: trace[1]!.toLowerCase() } : { name: 'unknown', path };
}

function pathOf(page: Page): string {
  if (page.name === 'map') return '/';
  return page.name === 'trace' ? `/traces/${page.traceId}` : page.path;
}

export function parseView(url: { pathname: string; search: string }): View {
  const query = new URLSearchParams(url.search);
  const text = (name: string) => query.get(name) || null;
  const shape = text('view');
  const service = text('service');
  return {
    page: pageOf(url.pathname),
    namespace: text('namespace') ?? HOME.namespace,
    window: WINDOWS.find((window) => window === text('window')) ?? HOME.window,
    paused: text('live') === 'off',
    table: shape === 'table' ? true : shape === 'graph' ? false : null,
    service,
    caller: service === null ? null : text('caller'),
    span: text('span'),
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
  if (view.page.name === 'map') {
    put('view', view.table === null ? null : view.table ? 'table' : 'graph');
    put('service', view.service);
    put('caller', view.service === null ? null : view.caller);
  }
  if (view.page.name === 'trace') put('span', view.span);
  put('lang', view.lang);
  put('theme', view.theme);
  const search = query.toString();
  return pathOf(view.page) + (search === '' ? '' : `?${search}`);
}
