// What people do in the console, done as they do it: by clicking, in front of a server that is really acted on (or of
// the fixture, which changes its answers in the same way). Each act must say what will happen before anything is
// sent, send exactly one request, and stand under Events afterwards with its reason.

/** `tools`: check, visit, assert, api, text, axe, shot. */
export async function acts(base, namespace, label, { check, visit, assert, api, axe, shot }) {
  const stamp = Math.random().toString(36).slice(2, 8);
  const to = (path) => `${base}${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams({ namespace, lang: 'en', theme: 'light' })}`;
  const asking = (path) => api(base, `${path}${path.includes('?') ? '&' : '?'}${new URLSearchParams({ namespace })}`);

  /** Clicks `button`, checks the dialog that it opens, goes through with it, and looks for it under Events. */
  async function act(page, { button, says, event, reason = null, fill = async () => undefined, then = async () => undefined, name }) {
    const sent = [];
    const note = (request) => request.method() !== 'GET' && sent.push(`${request.method()} ${new URL(request.url()).pathname}`);
    page.on('request', note);
    await button.click();
    const dialog = page.locator('dialog');
    await dialog.waitFor();
    const lead = await dialog.innerText();
    for (const word of says) assert(lead.includes(word), `the dialog does not say ${word}: ${lead}`);
    const go = dialog.locator('button.primary');
    if (reason !== null) {
      assert(await go.isDisabled(), 'it can be done without a reason');
      await dialog.locator('#act-reason').fill(reason);
    }
    await fill(dialog);
    assert(sent.length === 0, `sent before it was confirmed: ${sent}`);
    if (name) {
      await shot(page, `${label}-act-${name}`);
      await axe(page);
    }
    await go.click();
    await then(dialog);
    await dialog.waitFor({ state: 'detached' });
    page.off('request', note);
    assert(sent.length === 1, `one request is sent for one act: ${sent.join(', ') || 'none'}`);
    await stands(event, reason);
  }

  /** An event of this kind stands under Events, in the API and on the page. */
  async function stands({ kind, action, words }, reason) {
    const { events } = await asking('/events?limit=50');
    const wanted = (found) => found.kind === kind && found.action === action && (reason === null || found.reason.includes(reason));
    const found = events.find(wanted);
    assert(found, `no event ${kind} ${action} (${reason}) among ${events.slice(0, 5).map(({ kind, action, reason }) => `${kind} ${action} ${reason}`).join('; ')}`);
    await visit(to('/events'), async (page) => {
      const row = page.locator(`main ol > li[data-revision="${found.revision}"]`);
      await row.waitFor();
      const shown = await row.innerText();
      for (const word of [found.actor, reason ?? found.reason, ...(words ?? [])]) assert(shown.includes(word), `under Events, ${word} is missing: ${shown}`);
    });
  }

  const { services } = await asking('/overview?window=5m');
  const service = services.find(({ instances }) => instances.up >= 2)?.service;
  await check(`${label}: there is a service of two instances to act on`, async () => assert(service, 'there is none'));
  if (service === undefined) return;
  const { instances } = await api(base, `/namespaces/${namespace}/services/${service}`);
  const id = instances.find(({ status }) => status === 'up').id;
  const named = (what) => `browser ${stamp}: ${what}`;
  const row = (page) => page.locator('section', { has: page.locator('#instances-title') }).locator('tbody tr', { has: page.locator('th', { hasText: id }) });
  const button = (page, name) => row(page).getByRole('button', { name, exact: true });
  const status = (page, word) => row(page).locator('td.status', { hasText: word }).waitFor();
  const onService = (claim, body) => check(`${label}: ${claim}`, () => visit(to(`/services?service=${encodeURIComponent(service)}`), body));
  const instance = (action) => ({ kind: 'instance', action, words: [id] });

  await onService('an instance drains with a receipt, and comes back', async (page) => {
    const then = async (dialog) => {
      await dialog.locator('.verdict').waitFor();
      await shot(page, `${label}-act-receipt`);
      await axe(page);
      await dialog.locator('footer button').click();
    };
    await act(page, { button: button(page, 'Drain'), says: [id, service, 'takes no new calls', 'receipt'], event: instance('draining'), reason: named('drain'), then, name: 'drain' });
    await status(page, 'draining');
    await act(page, { button: button(page, 'Undrain'), says: [id, 'Calls come'], event: instance('undrained'), reason: named('undrain') });
    await status(page, 'up');
  });
  await onService('an instance goes into maintenance for a time, and is released', async (page) => {
    const fill = (dialog) => dialog.locator('#act-lasts').selectOption('1h');
    await act(page, { button: button(page, 'Maintenance'), says: [id, service, 'taken out'], event: instance('overridden'), reason: named('maintenance'), fill, name: 'maintenance' });
    await status(page, 'maintenance');
    const { override } = (await api(base, `/namespaces/${namespace}/services/${service}`)).instances.find((one) => one.id === id);
    const left = Date.parse(override.until) - Date.now();
    assert(left > 3_000_000 && left <= 3_600_000, `an hour is ${left} ms`);
    await act(page, { button: button(page, 'Release'), says: [id], event: instance('released'), reason: named('release') });
    await status(page, 'up');
  });
  await onService('an instance is overridden to down, and released', async (page) => {
    const fill = (dialog) => dialog.locator('#act-status').selectOption('down');
    await act(page, { button: button(page, 'Override'), says: [id, service, 'whatever its lease'], event: instance('overridden'), reason: named('override'), fill, name: 'override' });
    await status(page, 'down');
    await act(page, { button: button(page, 'Release'), says: [id], event: instance('released'), reason: named('override ends') });
    await status(page, 'up');
  });
  await onService('an instance takes the weight that an operator says, and its own again', async (page) => {
    const weight = async () => (await api(base, `/namespaces/${namespace}/services/${service}`)).instances.find((one) => one.id === id).weight;
    const own = await weight();
    const fill = (dialog) => dialog.locator('#act-weight').fill('30');
    await act(page, { button: button(page, 'Weight'), says: [id, service, 'share of the calls', '100 is a full share'], event: instance('weighed'), reason: named('weight'), fill, name: 'weight' });
    await row(page).getByText(named('weight')).waitFor();
    assert((await weight()) === 30, `it is ${await weight()}`);
    await act(page, { button: button(page, 'Reset weight'), says: [id, 'registers'], event: instance('unweighed'), reason: named('weight ends') });
    await row(page).getByText(named('weight')).waitFor({ state: 'detached' });
    assert((await weight()) === own, `it is ${await weight()}, and not ${own}`);
  });
  await onService('what holds for a service names each section and where it comes from', async (page) => {
    const { policy } = await api(base, `/namespaces/${namespace}/services/${service}/policy`);
    const table = page.locator('section', { has: page.locator('#effective-title') });
    await table.waitFor();
    for (const section of Object.keys(policy)) assert((await table.locator('th', { hasText: section }).count()) > 0, `${section} is missing`);
  });

  const { breakers, overrides } = await asking('/breakers');
  const refuses = breakers.find(({ service }) => !overrides.some((said) => said.service === service && said.action !== 'reset'))?.service;
  await check(`${label}: a breaker is forced, disabled and reset`, () =>
    visit(to('/breakers'), async (page) => {
      assert(refuses, 'no breaker is there');
      const grid = page.locator('section', { has: page.locator('#breakers-title') });
      const of = (name) => grid.locator('tbody tr', { has: page.locator(`th a:text-is(${JSON.stringify(refuses)})`) }).getByRole('button', { name, exact: true }).first();
      for (const [name, action, word, slug] of [['Force closed', 'force_close', 'pass', null], ['Disable', 'disable', 'neither refuse nor count', 'disable'], ['Force open', 'force_open', 'refuses all calls', 'force']]) {
        const event = { kind: 'breaker', action, words: [refuses] };
        await act(page, { button: of(name), says: [refuses, word, 'For how long'], event, reason: named(action), name: slug });
        await grid.getByText(named(action)).first().waitFor();
        await act(page, { button: of('Reset'), says: [refuses, 'ends at once'], event: { kind: 'breaker', action: 'reset' }, reason: named(`${action} ends`) });
      }
    }),
  );

  await check(`${label}: a policy is checked, compared, applied, rolled back and deleted`, () =>
    visit(
      to('/breakers'),
      async (page) => {
        const name = `browser-${stamp}`;
        const event = (action) => ({ kind: 'policy', action });
        await page.locator('#policy-new').fill(name);
        await page.getByRole('button', { name: 'Create', exact: true }).click();
        const editor = page.locator('#policy-text');
        await editor.waitFor();
        const said = await editor.inputValue();
        const panel = page.locator('section', { has: page.locator('#policies-title') });
        const press = (what) => panel.getByRole('button', { name: what, exact: true });
        await editor.fill(said.replace('"threshold": 5', '"threshold": -1'));
        await press('Check').click();
        await panel.locator('[role=alert]').waitFor();
        await editor.fill(said);
        await press('Check').click();
        await panel.locator('p.ok').waitFor();
        await act(page, { button: press('Apply'), says: [name, 'from now on'], event: event('created'), reason: named('apply') });
        await panel.locator('ol li').first().waitFor();
        const first = (await api(base, `/namespaces/${namespace}/policies`)).policies.find((one) => one.name === name);
        const threshold = (policy) => policy.document.spec.circuit_breaker.consecutive_failures.threshold;
        await editor.fill((await editor.inputValue()).replace('"threshold": 5', '"threshold": 7'));
        assert((await panel.locator('pre .came').innerText()).includes('7'), 'what comes is not marked');
        assert((await panel.locator('pre .went').innerText()).includes('5'), 'what goes is not marked');
        await act(page, { button: press('Apply'), says: [name], event: event('updated'), reason: named('change'), name: 'policy' });
        await panel.locator('ol li', { hasText: named('change') }).waitFor();
        const now = async () => (await api(base, `/namespaces/${namespace}/policies`)).policies.find((one) => one.name === name);
        assert(threshold(await now()) === 7, 'the change is not applied');
        await act(page, { button: panel.locator('ol li', { hasText: named('apply') }).getByRole('button'), says: [name, String(first.revision), 'as a new revision'], event: event('rolled_back'), reason: named('roll back') });
        assert(threshold(await now()) === 5, 'it is not rolled back');
        await panel.locator('ol li', { hasText: named('roll back') }).waitFor();
        await act(page, { button: press('Delete'), says: [name, 'ends'], event: event('deleted'), reason: named('delete') });
        assert((await now()) === undefined, 'it is still there');
      },
      { expected: ['400', '422'] },
    ),
  );

  const { traces } = await asking('/traces?limit=1');
  await check(`${label}: a trace is pinned with a reason, and unpinned`, () =>
    visit(to(`/traces/${traces[0].trace_id}`), async (page) => {
      const press = (name) => page.getByRole('button', { name, exact: true });
      const short = traces[0].trace_id.slice(0, 8);
      await act(page, { button: press('Pin'), says: [short, 'stays'], event: { kind: 'server', action: 'trace_pinned' }, reason: named('pin'), name: 'pin' });
      await page.locator('.head', { hasText: named('pin') }).waitFor();
      await act(page, { button: press('Unpin'), says: [short], event: { kind: 'server', action: 'trace_unpinned', words: [] } });
      await press('Pin').waitFor();
    }),
  );

  await check(`${label}: the demo is broken in four ways on the map, and healed`, () =>
    visit(to('/'), async (page) => {
      const demo = page.getByRole('group', { name: 'Break the demo on purpose' });
      await demo.waitFor();
      const of = await demo.locator('select').inputValue();
      const event = (action) => ({ kind: 'instance', action });
      await act(page, { button: demo.getByRole('button', { name: /late$/ }), says: [of, 'longer'], event: event('demo_break'), name: 'demo' });
      await act(page, { button: demo.getByRole('button', { name: /^Fail/ }), says: [of, '30%'], event: event('demo_break') });
      await act(page, { button: demo.getByRole('button', { name: /^Kill/ }), says: [of, 'without a word'], event: event('demo_kill') });
      await act(page, { button: demo.getByRole('button', { name: /^Release/ }), says: [of, '1.5.0'], event: event('demo_release') });
      await act(page, { button: demo.getByRole('button', { name: 'Heal everything' }), says: ['as it was before'], event: event('demo_heal') });
    }),
  );
}
