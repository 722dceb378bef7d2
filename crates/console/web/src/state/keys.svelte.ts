// The keyboard: single keys and `g` followed by a page's letter. Keys typed into a field, or together with a
// modifier, belong to the browser.

import type { Section } from './url';

/** After `g`: the pages by letter. */
export const LETTERS = { m: 'map', s: 'services', t: 'traces', b: 'breakers', q: 'metrics', e: 'events', c: 'connect', n: 'cluster' } as const satisfies Record<string, 'map' | Section>;
export type Destination = (typeof LETTERS)[keyof typeof LETTERS];

export interface Keys {
  go(to: Destination): void;
  palette(): void;
  help(): void;
  pause(): void;
  shape(): void;
  close(): void;
}

/** What `j` and `k` move through; the page in sight sets it. */
export const steps: { step: ((by: 1 | -1) => void) | null } = { step: null };

const SEQUENCE_MS = 1_200;

export function listen(keys: Keys): () => void {
  let leader = -Infinity;
  const onKey = (event: KeyboardEvent) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key === 'k') {
      event.preventDefault();
      return keys.palette();
    }
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target instanceof Element ? event.target : null;
    if (target?.closest('input, textarea, select, [contenteditable]')) return;
    if (event.key === 'Escape') return keys.close();
    if (target?.closest('dialog')) return;
    const led = event.timeStamp - leader < SEQUENCE_MS;
    leader = -Infinity;
    const to = led ? (LETTERS as Record<string, Destination | undefined>)[event.key] : undefined;
    if (to !== undefined) keys.go(to);
    else if (event.key === 'g') leader = event.timeStamp;
    else if (event.key === '?') keys.help();
    else if (event.key === '/') document.querySelector<HTMLElement>('[data-search]')?.focus();
    else if (event.key === 't') keys.shape();
    else if (event.key === 'j') steps.step?.(1);
    else if (event.key === 'k') steps.step?.(-1);
    else if (event.key === ' ' && !target?.closest('button, a, summary')) keys.pause();
    else return;
    event.preventDefault();
  };
  addEventListener('keydown', onKey);
  return () => removeEventListener('keydown', onKey);
}
