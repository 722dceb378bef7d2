// How fast the console is, in a real browser, in front of the fixture. The figures are printed; what is asserted is
// generous, because the machine may have other things to do: what fails here is slow by its nature, not by chance.

import { FLOOD } from './fixture.mjs';

/** Promised on loopback, on a machine that does nothing else; beside other work, the best of five may take twice that. */
const FIRST_PAINT_MS = 300;
/** Frames are 16.7 ms apart at 60 a second; drawn by the processor alone and beside other work, a third is let pass. */
const FRAME_MS = 50;
const FRAMES = 120;
/** What the heap may grow by in the second half of an hour of updates. */
const GROWTH_BYTES = 2_000_000;

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const ms = (value) => `${value.toFixed(1)} ms`;

/** Scrolls a box, to and fro, a step for each frame, and measures how far the frames are apart. */
async function frames(page, selector, step) {
  const gaps = await page.locator(selector).first().evaluate(
    (box, { step, FRAMES }) =>
      new Promise((resolve) => {
        const gaps = [];
        let [before, down, right] = [null, 1, 1];
        const frame = (now) => {
          if (before !== null) gaps.push(now - before);
          before = now;
          if (gaps.length === FRAMES) return resolve(gaps);
          const [top, left] = [box.scrollTop, box.scrollLeft];
          box.scrollTop += down * step;
          box.scrollLeft += right * step;
          if (box.scrollTop === top) down = -down;
          if (box.scrollLeft === left) right = -right;
          return requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
      }),
    { step, FRAMES },
  );
  const late = gaps.filter((gap) => gap > 1.5 * (1000 / 60)).length;
  return { half: middle(gaps), worst: Math.max(...gaps), late };
}

/** `tools`: check, visit, assert. */
export async function speed(base, { check, visit, assert }) {
  await check('the first content is painted soon', async () => {
    const [times, figures] = [[], []];
    for (let i = 0; i < 5; i++) {
      await visit(`${base}/?namespace=default`, async (page) => {
        const painted = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
        times.push(await (await page.waitForFunction(painted)).jsonValue());
        const drawn = () => document.querySelector('.node') !== null && performance.now();
        figures.push(await (await page.waitForFunction(drawn)).jsonValue());
      });
    }
    console.log(`      first contentful paint: ${times.map(ms).join(', ')}; the map's figures: ${figures.map(ms).join(', ')}`);
    assert(Math.min(...times) < 2 * FIRST_PAINT_MS, `at best ${ms(Math.min(...times))}`);
  });
  const smooth = (claim, path, ready, selector, step, more = {}) =>
    check(claim, () =>
      visit(
        `${base}${path}`,
        async (page) => {
          await page.locator(ready).first().waitFor();
          const { half, worst, late } = await frames(page, selector, step);
          console.log(`      a frame each ${ms(half)} (median of ${FRAMES}), the longest ${ms(worst)}, ${late} late`);
          assert(half <= FRAME_MS, `half of the frames take more than ${ms(half)}`);
        },
        { motion: 'no-preference', ...more },
      ),
    );
  await smooth('a waterfall of ten thousand spans scrolls smoothly', `/traces/${'1a96'.repeat(8)}?namespace=large`, '[role=option]', '.rows', 240);
  await smooth('a map of 150 services pans smoothly', '/?namespace=map150', '.node', '.room', 40);
  await smooth('a map of 300 services, focused, pans smoothly', '/?namespace=map300&view=graph&service=service-007', '.node', '.room', 40);
  await check('a map of 300 services opens as a table, and as a graph shows the surroundings of one', () =>
    visit(`${base}/?namespace=map300`, async (page) => {
      await page.locator('table').first().waitFor();
      assert((await page.locator('.node').count()) === 0, 'a graph is drawn');
      await page.locator('.shape button').first().click();
      await page.locator('.node').first().waitFor();
      const drawn = await page.locator('.node').count();
      assert(drawn > 1 && drawn <= 61, `${drawn} services are drawn`);
    }),
  );
  await check('an hour of updates leaves the heap as it was', () =>
    visit(`${base}/?namespace=flood`, async (page) => {
      const devtools = await page.context().newCDPSession(page);
      const heap = async () => {
        await devtools.send('HeapProfiler.collectGarbage');
        return (await devtools.send('Runtime.getHeapUsage')).usedSize;
      };
      const after = async (updates) => {
        const seen = (updates) => Number(/received (\d+)/.exec(document.querySelector('footer')?.textContent ?? '')?.[1] ?? 0) >= updates;
        await page.waitForFunction(seen, updates, { timeout: 240_000 });
        return heap();
      };
      const began = Date.now();
      const half = await after(FLOOD / 2);
      const whole = await after(FLOOD);
      const mb = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
      console.log(`      ${FLOOD} updates in ${((Date.now() - began) / 1000).toFixed(0)} s; heap ${mb(half)} after half of them, ${mb(whole)} after all`);
      assert(whole - half < GROWTH_BYTES, `it grew by ${mb(whole - half)}`);
    }),
  );
}
