// The console in a real browser, against a running server:
//
//   node test/browser.mjs http://127.0.0.1:2355 [--expect storefront,catalog] [--ingest] [--only TEXT]
//
// Without an address it starts the fixture beside it and walks through its scenes as well. What it finds on the page
// is compared with what the API answers, so it knows no data by heart. With `--ingest` it first sends a hostile name
// through every field that anyone may fill. Screenshots go to ../screenshots, for people to look at.
// CHROMIUM names the browser (/usr/bin/chromium otherwise).

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { acts } from './acts.mjs';
import { HOSTILE, start } from './fixture.mjs';
import { speed } from './speed.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { expect: { type: 'string', default: '' }, ingest: { type: 'boolean', default: false }, token: { type: 'string' }, only: { type: 'string', default: '' } },
});
const SHOTS = new URL('../screenshots/', import.meta.url).pathname;
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const LANGUAGES = { en: { traces: 'Recent traces', map: 'Service map' }, zh: { traces: '最近的链路', map: '服务拓扑' } };
/** The pages of the rail but the map, and what must be on each. */
const PAGES = [
  ['/services', 'table.list tbody th a'],
  ['/services?service=SERVICE&key=user-42', '#ring-title'],
  ['/signals?q=bellwether_calls_total', 'figure .line'],
  ['/events', '#events-title'],
  ['/connect', '#connect-trace'],
  ['/cluster', '#ledger-title'],
  ['/breakers', '#policies-title'],
  ['/breakers?policy=SERVICE', '#policy-text'],
  ['/traces', 'a[href*="/traces/"] .figure'],
  ['/traces/compare?before=TRACE&after=TRACE', 'table.list tbody th'],
];
const profile = mkdtempSync(join(tmpdir(), 'console-'));
mkdirSync(SHOTS, { recursive: true });

let passed = 0;
const failures = [];
async function check(claim, body) {
  if (!claim.includes(options.only)) return;
  try {
    await body();
    passed += 1;
    console.log(`ok    ${claim}`);
  } catch (cause) {
    failures.push(claim);
    console.log(`FAIL  ${claim}\n      ${String(cause.message ?? cause).split('\n').slice(0, 12).join('\n      ')}`);
  }
}
function assert(truth, message) {
  if (!truth) throw new Error(message);
}

const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  viewport: { width: 1440, height: 960 },
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});

/** Opens a page, runs the body, and fails on anything that the browser complained of meanwhile. */
async function visit(address, body, { width = 1440, scheme = 'light', motion = 'reduce', expected = [] } = {}) {
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.setViewportSize({ width, height: 960 });
  await page.emulateMedia({ colorScheme: scheme, reducedMotion: motion });
  try {
    await page.goto(address);
    await body(page);
    const unexpected = complaints.filter((text) => !expected.some((known) => text.includes(known)));
    assert(unexpected.length === 0, `the browser complained: ${unexpected.join('; ')}`);
    assert(!(await page.evaluate(() => 'hacked' in window)), 'a hostile name ran as code');
  } finally {
    await page.close();
  }
}

const text = (page) => page.locator('body').innerText();
const settled = (page) => page.locator('main .panel h2, main .panel h1').first().waitFor();

async function axe(page) {
  // Through the debugger, which the content security policy does not bind.
  await page.evaluate(`${(await import('node:fs')).readFileSync(AXE, 'utf8')}; undefined`);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map(({ id, impact, nodes }) => `${id} (${impact}): ${nodes.map(({ html }) => html).slice(0, 2).join(' ')}`);
  assert(told.length === 0, `axe-core found: ${told.join('\n')}`);
}

async function api(base, path) {
  const headers = options.token ? { authorization: `Bearer ${options.token}` } : {};
  const response = await fetch(`${base}/bellwether/v1${path}`, { headers });
  assert(response.ok, `${path} answered ${response.status}`);
  return response.json();
}

const shot = (page, name) => page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });

async function ingest(base) {
  const headers = { 'content-type': 'application/json', ...(options.token ? { authorization: `Bearer ${options.token}` } : {}) };
  const now = BigInt(Date.now()) * 1_000_000n;
  const value = { stringValue: HOSTILE };
  const span = {
    traceId: 'bad0bad0bad0bad0bad0bad0bad0bad0',
    spanId: 'bad0bad0bad0bad0',
    name: `GET ${HOSTILE}`,
    kind: 2,
    startTimeUnixNano: String(now),
    endTimeUnixNano: String(now + 5_000_000n),
    attributes: [{ key: HOSTILE, value }],
    events: [{ timeUnixNano: String(now), name: HOSTILE, attributes: [{ key: HOSTILE, value }] }],
    status: { code: 2, message: HOSTILE },
  };
  const traces = { resourceSpans: [{ resource: { attributes: [{ key: 'service.name', value }] }, scopeSpans: [{ spans: [span] }] }] };
  const answer = await fetch(`${base}/v1/traces`, { method: 'POST', headers, body: JSON.stringify(traces) });
  assert(answer.ok, `a span was not taken: ${answer.status} ${await answer.text()}`);
  const instance = { address: '127.0.0.1', port: 9, metadata: { note: HOSTILE }, version: HOSTILE };
  await fetch(`${base}/bellwether/v1/namespaces/default/services/hostile/instances/hostile-1`, { method: 'PUT', headers, body: JSON.stringify(instance) });
}

/** What must hold on the first page, whatever is on it. */
async function firstPage(base, namespace, { name, width, scheme, lang }) {
  const query = new URLSearchParams({ namespace, lang, theme: scheme });
  await visit(
    `${base}/?${query}`,
    async (page) => {
      await settled(page);
      const shown = await api(base, `/overview?${new URLSearchParams({ namespace, window: '5m' })}`);
      const body = await text(page);
      if (shown.services.length > 0) assert(body.includes(LANGUAGES[lang].map), `not in ${lang}: ${LANGUAGES[lang].map}`);
      assert(body.includes(LANGUAGES[lang].traces), `not in ${lang}: ${LANGUAGES[lang].traces}`);
      assert((await page.locator('html').getAttribute('lang')) === (lang === 'zh' ? 'zh-CN' : 'en'), 'the language of the document');
      assert((await page.locator('html').getAttribute('data-theme')) === scheme, 'the theme');
      for (const { service } of shown.services) {
        assert((await page.locator('.node', { hasText: service }).count()) > 0, `the map lacks ${service}`);
      }
      for (const { caller, service, red } of shown.edges) {
        const figures = page.locator(`.figures[title=${JSON.stringify(`${caller} → ${service}`)}]`);
        assert((await figures.count()) > 0, `the map lacks the edge from ${caller} to ${service}`);
        if (red.calls > 0) assert(/p50\s*[\d.]+\s*(ns|µs|ms|s)/.test(await figures.first().innerText()), 'an edge without a latency');
      }
      if (shown.traces.length > 0) {
        assert((await page.locator('a[href*="/traces/"]').count()) > 0, 'no trace is listed');
      }
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert(wide <= 0, `the page is ${wide} px wider than the window`);
      await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
      await axe(page);
    },
    { width, scheme },
  );
}

async function traceWalk(base, namespace, name, scheme = 'light') {
  await visit(
    `${base}/?${new URLSearchParams({ namespace, theme: scheme, lang: 'en' })}`,
    async (page) => {
      await settled(page);
      await page.keyboard.press('j');
      const focused = await page.evaluate(() => document.activeElement?.getAttribute('href') ?? '');
      assert(focused.startsWith('/traces/'), `j selects the first trace, not ${focused}`);
      await page.keyboard.press('Enter');
      await page.locator('[role=listbox]').waitFor();
      const id = new URL(page.url()).pathname.split('/').pop();
      const trace = await api(base, `/traces/${id}?${new URLSearchParams({ namespace })}`);
      const rows = page.locator('[role=option]');
      assert((await rows.count()) > 0, 'the waterfall has no rows');
      assert(trace.spans.length > 200 || (await rows.count()) === trace.spans.length, 'a row for each span');
      assert((await rows.count()) < 200, 'only rows in sight are drawn');
      await page.keyboard.press('j');
      await page.locator('aside').waitFor();
      assert(new URL(page.url()).searchParams.get('span'), 'the span is in the address');
      await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
      await axe(page);
      await page.reload();
      await page.locator('aside').waitFor();
      await page.keyboard.press('g');
      await page.keyboard.press('m');
      await page.locator('#map-title, #empty').first().waitFor();
    },
    { scheme },
  );
}

/** What any server must do. */
async function everywhere(base, namespace, label) {
  for (const [scheme, lang, width] of [
    ['light', 'en', 1440],
    ['dark', 'zh', 1440],
    ['dark', 'en', 800],
    ['light', 'zh', 800],
  ]) {
    const name = `${label}-${scheme}-${lang}-${width}`;
    await check(`${label}: the first page shows services, traces and latency (${scheme}, ${lang}, ${width})`, () =>
      firstPage(base, namespace, { name, width, scheme, lang }),
    );
  }
  const { traces } = await api(base, `/overview?${new URLSearchParams({ namespace, window: '5m' })}`);
  if (traces.length > 0) {
    await check(`${label}: a trace opens by keyboard, its span is in the address, and g m leads back`, () =>
      traceWalk(base, namespace, `${label}-trace`),
    );
  }
  await check(`${label}: the headers forbid inline script, framing and sniffing`, async () => {
    const { headers } = await fetch(`${base}/`);
    const policy = headers.get('content-security-policy') ?? '';
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) assert(policy.includes(part), `${part} is missing`);
    assert(!policy.includes('unsafe'), policy);
    assert(headers.get('x-content-type-options') === 'nosniff', 'nosniff is missing');
  });
  await check(`${label}: pausing, the table, the help and the language are one key or click away`, () =>
    visit(`${base}/?${new URLSearchParams({ namespace })}`, async (page) => {
      await settled(page);
      await page.locator('.link.live').waitFor();
      await page.locator('body').press(' ');
      await page.locator('.link.paused').waitFor();
      assert(new URL(page.url()).searchParams.get('live') === 'off', 'paused is in the address');
      await page.locator('body').press(' ');
      await page.locator('.link.live').waitFor();
      await page.keyboard.press('t');
      await page.locator('table').first().waitFor();
      await page.keyboard.press('?');
      await page.locator('dialog').waitFor();
      await page.screenshot({ path: join(SHOTS, `${label}-help.png`) });
      await axe(page);
      await page.keyboard.press('Escape');
      await page.locator('dialog').waitFor({ state: 'detached' });
      await page.locator('select.language').selectOption('zh');
      await page.getByText(LANGUAGES.zh.traces).first().waitFor();
      await page.locator('select.language').selectOption('en');
      await page.getByText(LANGUAGES.en.traces).first().waitFor();
    }),
  );
}

/** What the keyboard and the pointer do on every page. */
async function shortcuts(base, namespace, label) {
  const to = (path) => `${base}${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams({ namespace, lang: 'en' })}`;
  const { services } = await api(base, `/overview?${new URLSearchParams({ namespace, window: '5m' })}`);
  const service = services[0].service;
  await check(`${label}: the palette finds a service, a page, a trace id and an action`, () =>
    visit(to('/events'), async (page) => {
      await settled(page);
      const open = async (typed) => {
        await page.keyboard.press('Control+k');
        await page.locator('[role=combobox]').fill(typed);
      };
      await open(service);
      await shot(page, `${label}-palette`);
      await axe(page);
      await page.keyboard.press('Enter');
      await page.locator('#service-title', { hasText: service }).waitFor();
      assert(new URL(page.url()).searchParams.get('service') === service, 'the service is in the address');
      await open('clus');
      await page.keyboard.press('Enter');
      await page.locator('#cluster-title').waitFor();
      await open('resume pause nothing');
      await page.locator('dialog [role=status]').waitFor();
      await page.locator('[role=combobox]').fill('pause');
      await page.keyboard.press('Enter');
      await page.locator('.link.paused').waitFor();
      await page.locator('.find').click();
      await page.locator('[role=combobox]').fill('0af7651916cd43dd8448eb211c80319c');
      await page.locator('[role=option]').first().click();
      await page.waitForFunction(() => location.pathname === '/traces/0af7651916cd43dd8448eb211c80319c');
    }, { expected: ['404'] }),
  );
  await check(`${label}: a box on a chart is the page's range, in its address, by pointer and by keyboard`, () =>
    visit(to('/signals'), async (page) => {
      const plot = page.locator('figure .plot').first();
      await page.locator('figure .line').first().waitFor();
      const { x, y, width } = await plot.boundingBox();
      await page.mouse.move(x + 62 + (width - 70) * 0.25, y + 40);
      await page.mouse.down();
      await page.mouse.move(x + 62 + (width - 70) * 0.75, y + 60, { steps: 5 });
      await page.mouse.up();
      await page.waitForFunction(() => new URL(location.href).searchParams.has('from'));
      const range = () => ['from', 'to'].map((name) => Date.parse(new URL(page.url()).searchParams.get(name)) / 1000);
      const [from, till] = range();
      assert(till - from > 120 && till - from < 180, `half of five minutes is not ${till - from} s`);
      await page.getByRole('link', { name: /^Remove the filter/ }).click();
      await page.waitForFunction(() => !new URL(location.href).searchParams.has('from'));
      await plot.focus();
      await page.keyboard.press('ArrowLeft');
      for (let i = 0; i < 8; i++) await page.keyboard.press('Shift+ArrowLeft');
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => new URL(location.href).searchParams.has('from'));
      assert(range()[1] - range()[0] === 40, `eight steps of 5 s are not ${range()[1] - range()[0]} s`);
    }),
  );
}

/** Each page that the rail names, in both themes and languages, and narrow: it shows something, fits, and is accessible. */
async function sections(base, namespace, label) {
  const { services } = await api(base, `/overview?${new URLSearchParams({ namespace, window: '5m' })}`);
  const service = services[0]?.service ?? 'hello';
  const { traces } = await api(base, `/traces?${new URLSearchParams({ namespace, limit: '1' })}`);
  for (const [path, wanted] of PAGES) {
    for (const [scheme, lang, width] of [['light', 'en', 1440], ['dark', 'zh', 1440], ['dark', 'en', 800], ['light', 'zh', 390]]) {
      const name = `${label}-${path.slice(1).replaceAll(/[/?=&]+/g, '-')}-${scheme}-${lang}-${width}`;
      await check(`${label}: ${path} shows ${wanted} and is accessible (${scheme}, ${lang}, ${width})`, () => {
        const query = new URLSearchParams({ namespace, lang, theme: scheme });
        const address = `${base}${path.replace('SERVICE', encodeURIComponent(service)).replaceAll('TRACE', traces[0]?.trace_id ?? '')}`;
        return visit(
          `${address}${path.includes('?') ? '&' : '?'}${query}`,
          async (page) => {
            await page.locator('main h1').first().waitFor();
            await page.locator(wanted).first().waitFor();
            const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
            assert(wide <= 0, `the page is ${wide} px wider than the window`);
            await axe(page);
          },
          { width, scheme },
        );
      });
    }
  }
}

/** What each store takes and keeps stands on the page as the API tells it. */
async function stores(base, namespace, label) {
  await check(`${label}: each store is told with its size, its budget and how far back it goes`, () =>
    visit(`${base}/cluster?${new URLSearchParams({ namespace, lang: 'en' })}`, async (page) => {
      const table = page.locator('section', { has: page.locator('#storage-title') });
      await table.locator('tbody th').first().waitFor();
      const rows = (await table.locator('tbody tr').allInnerTexts()).map((row) => row.replaceAll(/\s+/g, ' '));
      const { stores, free_bytes } = await api(base, '/storage');
      assert(rows.length === stores.length, `${rows.length} rows for ${stores.length} stores`);
      for (const [i, { store, disk_budget_bytes, max_age_ns, oldest }] of stores.entries()) {
        if (disk_budget_bytes !== null) assert(/ of [\d.]+ [KMGT]iB/.test(rows[i]), `${store} has no budget: ${rows[i]}`);
        assert(rows[i].includes(max_age_ns === null ? 'until it is removed' : 'at most'), `${store}: ${rows[i]}`);
        if (oldest !== null) assert(/ago|now/.test(rows[i]), `the oldest of ${store} is not told: ${rows[i]}`);
      }
      if (free_bytes !== null) assert((await table.innerText()).includes('free on the disk'), 'free room is not told');
    }),
  );
}

async function hostileNames(base, namespace, id) {
  const name = encodeURIComponent(HOSTILE);
  for (const path of ['/', '/?view=table', `/?service=${name}`, `/traces/${id}`, `/services?service=${name}`, '/signals', '/events', '/breakers', `/breakers?policy=${name}`, '/traces', `/traces/compare?before=${id}&after=${id}`]) {
    await check(`a hostile name is text at ${path}`, () =>
      visit(`${base}${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams({ namespace })}`, async (page) => {
        await page.getByText(HOSTILE).locator('visible=true').first().waitFor();
        assert((await page.locator('img').count()) === 0, 'an element was made of it');
        if (path === `/traces/${id}`) {
          await page.keyboard.press('j');
          await page.locator('aside').getByText(HOSTILE).first().waitFor();
        }
      }),
    );
  }
}

const TOOLS = { check, visit, assert, api, axe, shot };

/** Where each field that anybody may fill is shown; it must be there, as text. Run on the fixture's hostile scene. */
async function hostileFields(base) {
  const id = 'bad0'.repeat(8);
  const name = encodeURIComponent(HOSTILE);
  const FIELDS = [
    ['a service', '/', '.node b', HOSTILE],
    ['a caller', '/?view=table', 'table td, table th', HOSTILE],
    ['the reason of a breaker', `/?service=${name}&caller=gateway`, 'aside .breaker p', HOSTILE],
    ['an instance', `/services?service=${name}`, 'main tbody th', `${HOSTILE}-1`],
    ['metadata', `/services?service=${name}`, 'main tbody th .tag', `${HOSTILE}=${HOSTILE}`],
    ['a setting of a policy', `/services?service=${name}`, '.values .tag', HOSTILE],
    ['the name of a policy', `/services?service=${name}`, 'td a', HOSTILE],
    ['an operation', `/traces/${id}`, '[role=option] .operation', HOSTILE],
    ['the key of an attribute', `/traces/${id}?span=FIRST`, 'aside dt', HOSTILE],
    ['the value of an attribute', `/traces/${id}?span=FIRST`, 'aside dd', HOSTILE],
    ['the reason of a pin', `/traces/${id}`, '.head .partial', HOSTILE],
    ['the root of a trace', '/traces', 'main li b', HOSTILE],
    ['a metric', `/signals?q=${encodeURIComponent('x{namespace="hostile"}')}`, 'figure li .cut', `${HOSTILE}{`],
    ['a label', `/signals?q=${encodeURIComponent('x{namespace="hostile"}')}`, 'figure li .cut', `${HOSTILE}="${HOSTILE}"`],
    ['a policy', '/breakers', '.names a', HOSTILE],
    ['the document of a policy', `/breakers?policy=${name}`, '.editor pre', HOSTILE],
    ['the reason of a change', `/breakers?policy=${name}`, '.editor ol li', HOSTILE],
    ['the reason of an override', '/breakers', 'td .warn', HOSTILE],
    ['the reason of an event', '/events', 'main ol li p', HOSTILE],
    ['the actor of an event', '/events', 'main ol li .small', `by ${HOSTILE}`],
    ['a detail of an event', '/events', 'main ol li .small', `${HOSTILE} ${HOSTILE}`],
  ];
  const { spans } = await api(base, `/traces/${id}?namespace=hostile`);
  for (const [field, path, place, shown] of FIELDS) {
    const address = `${base}${path.replace('FIRST', spans[0].span_id)}`;
    await check(`a hostile name is text as ${field}`, () =>
      visit(`${address}${path.includes('?') ? '&' : '?'}namespace=hostile&lang=en`, async (page) => {
        await page.locator(place).filter({ hasText: shown }).first().waitFor();
        assert((await page.locator('img').count()) === 0, 'an element was made of it');
      }),
    );
  }
}

/** What can only be shown where the scene can be set. */
async function scenes() {
  let { server, base } = await start();
  const port = server.address().port;
  const close = () => (server.closeAllConnections(), new Promise((resolve) => server.close(resolve)));
  await everywhere(base, 'default', 'well');
  await everywhere(base, 'trouble', 'trouble');
  await sections(base, 'trouble', 'trouble');
  await stores(base, 'trouble', 'trouble');
  await shortcuts(base, 'trouble', 'trouble');
  await hostileNames(base, 'hostile', 'bad0'.repeat(8));
  await hostileFields(base);
  await acts(base, 'trouble', 'trouble', TOOLS);
  await speed(base, TOOLS);
  await check('an open breaker is the sentence on top, a broken circuit on the map, and explained beside it', () =>
    visit(`${base}/?namespace=trouble&theme=dark`, async (page) => {
      await settled(page);
      assert((await page.locator('h1').innerText()).includes('payments'), 'the sentence names the service');
      assert((await page.locator('.line.refusing .blade').count()) === 1, 'the circuit is not drawn broken');
      await page.locator('.figures.refusing').click();
      await page.locator('aside').getByText('6 failures in a row').waitFor();
      await page.screenshot({ path: join(SHOTS, 'breaker-dark.png'), fullPage: true });
      await axe(page);
      await page.keyboard.press('Escape');
      await page.locator('aside').waitFor({ state: 'detached' });
    }, { scheme: 'dark' }),
  );
  await check('positions stay where they are while figures change', () =>
    visit(`${base}/?namespace=trouble`, async (page) => {
      await settled(page);
      const places = () => page.locator('.node').evaluateAll((nodes) => nodes.map((node) => node.style.cssText).join());
      const figures = () => page.locator('.figures').first().innerText();
      const [before, said] = [await places(), await figures()];
      await page.waitForFunction((said) => document.querySelector('.figures').innerText !== said, said);
      assert((await places()) === before, 'a service moved');
    }),
  );
  await check('an empty namespace says how to register', () =>
    visit(`${base}/?namespace=empty`, async (page) => {
      await page.getByText('curl -X PUT').waitFor();
      await page.screenshot({ path: join(SHOTS, 'empty.png'), fullPage: true });
      await axe(page);
    }),
  );
  await check('an exemplar on a chart opens its trace', () =>
    visit(`${base}/signals?q=bellwether_calls_total&lang=en`, async (page) => {
      await page.locator('path.exemplar').first().waitFor();
      const link = page.locator('a.exemplar').first();
      await shot(page, 'exemplars');
      const id = (await link.innerText()).match(/[0-9a-f]{8}/)[0];
      await link.click();
      await page.locator('[role=listbox]').waitFor();
      assert(new URL(page.url()).pathname.startsWith(`/traces/${id}`), page.url());
    }),
  );
  await check('a box around dots is a search, which is in the address', () =>
    visit(`${base}/traces`, async (page) => {
      const { x, y, width } = await page.locator('svg[role=group]').boundingBox();
      await page.mouse.move(x + width / 2, y + 20);
      await page.mouse.down();
      await page.mouse.move(x + width - 30, y + 150, { steps: 4 });
      await page.mouse.up();
      await page.waitForFunction(() => new URL(location.href).searchParams.has('min'));
      const { searchParams } = new URL(page.url());
      for (const name of ['min', 'max', 'from', 'to']) assert(searchParams.get(name), `${name} is not in the address`);
    }),
  );
  await check('a trace of ten thousand spans draws only what is in sight', () => traceWalk(base, 'large', 'large-trace', 'dark'));
  await check('a trace that is not there says so', () =>
    visit(`${base}/traces/beef`, (page) => page.getByText('This trace is not here').waitFor(), { expected: ['404'] }),
  );
  await check('a page that is not there says so', () => visit(`${base}/nowhere`, (page) => page.getByText('no page at /nowhere').waitFor()));
  await check('a server that goes away is told, and its return is found', () =>
    visit(
      `${base}/`,
      async (page) => {
        await page.locator('.link.live').waitFor();
        await close();
        await page.locator('.link.lost').waitFor();
        await page.getByText('No connection to the control plane').waitFor();
        ({ server } = await start({ port }));
        await page.locator('.link.live').waitFor();
      },
      { expected: ['ERR_CONNECTION_REFUSED', 'ERR_INCOMPLETE_CHUNKED', 'ERR_CONNECTION_RESET', 'ERR_EMPTY_RESPONSE'] },
    ),
  );
  await close();

  const locked = await start({ token: 'right' });
  await check('a token is asked for, a wrong one refused, the right one kept for the tab', () =>
    visit(
      `${locked.base}/`,
      async (page) => {
        await page.locator('dialog input').fill('wrong');
        await page.screenshot({ path: join(SHOTS, 'token.png') });
        await axe(page);
        await page.keyboard.press('Enter');
        await page.getByText('The token was refused.').waitFor();
        await page.locator('dialog input').fill('right');
        await page.keyboard.press('Enter');
        await page.locator('.link.live').waitFor();
        await page.reload();
        await page.locator('.link.live').waitFor();
      },
      { expected: ['401'] },
    ),
  );
  locked.server.closeAllConnections();
  locked.server.close();
}

if (positionals.length === 0) {
  await scenes();
} else {
  const base = positionals[0].replace(/\/$/, '');
  if (options.ingest) await check('hostile names are taken in', () => ingest(base));
  await check('the expected services are there', async () => {
    const { services } = await api(base, '/overview?namespace=default&window=5m');
    const names = services.map(({ service }) => service);
    for (const name of options.expect.split(',').filter(Boolean)) assert(names.includes(name), `${name} is not among ${names}`);
  });
  await everywhere(base, 'default', 'server');
  await sections(base, 'default', 'server');
  await stores(base, 'default', 'server');
  await shortcuts(base, 'default', 'server');
  if (options.ingest) await hostileNames(base, 'default', 'bad0'.repeat(8));
  // Last: from here on, things are as somebody wanted them.
  await acts(base, 'default', 'server', TOOLS);
}
await browser.close();
rmSync(profile, { recursive: true, force: true });
console.log(`${passed} passed, ${failures.length} failed`);
process.exit(failures.length === 0 ? 0 : 1);
