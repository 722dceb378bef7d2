// What a browser has to load, compressed, must stay small: the entry (what index.html names) and everything.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const DIST = new URL('../../dist/', import.meta.url).pathname;
const ENTRY_BUDGET = 130_000;
const WHOLE_BUDGET = 300_000;

const files = readdirSync(DIST, { recursive: true })
  .map(String)
  .filter((name) => statSync(join(DIST, name)).isFile())
  .sort();
const size = new Map(files.map((name) => [name, gzipSync(readFileSync(join(DIST, name)), { level: 9 }).length]));
const index = readFileSync(join(DIST, 'index.html'), 'utf8');
const entry = files.filter((name) => name === 'index.html' || index.includes(`"/${name}"`));
const sum = (names) => names.reduce((total, name) => total + size.get(name), 0);

for (const name of files) console.log(`${String(size.get(name)).padStart(8)}  ${name}`);
console.log(`${String(sum(entry)).padStart(8)}  the entry, of ${ENTRY_BUDGET} allowed (bytes, gzip)`);
console.log(`${String(sum(files)).padStart(8)}  everything, of ${WHOLE_BUDGET} allowed`);
if (sum(entry) > ENTRY_BUDGET || sum(files) > WHOLE_BUDGET) {
  console.error('budget: the bundle is too large; load what the first page does not need later, or do without it');
  process.exit(1);
}
if (/<(script|style)[^>]*>[^<]/.test(index) || /\sstyle=|\son\w+=/.test(index)) {
  console.error('budget: index.html holds an inline script or style, which the content security policy refuses');
  process.exit(1);
}
