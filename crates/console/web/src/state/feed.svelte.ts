// The live overview: one answer at once, then the stream, for as long as someone looks. A lost connection is tried
// again with growing pauses and resumes after the last event that arrived; the last overview stays on the screen,
// with the time that it is from.

import { untrack } from 'svelte';
import { getOverview, headersWith, refusalOf, Refusal, streamUrl } from '../api/client';
import { EventParser } from '../api/sse';
import type { Overview } from '../api/types';
import { clock } from './clock.svelte';
import { token } from './token.svelte';
import type { Window } from './url';

export type Link = 'connecting' | 'live' | 'paused' | 'hidden' | 'lost' | 'locked';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8_000;
/** The server sends something (an overview or a comment) far more often; silence this long is a dead connection. */
const LONGEST_SILENCE_MS = 30_000;

export interface Wanted {
  namespace: string;
  window: Window;
  paused: boolean;
  hidden: boolean;
}

class Feed {
  overview = $state.raw<Overview | null>(null);
  link = $state<Link>('connecting');
  /** What the control plane said when it refused, or null where it did not answer at all. */
  refusal = $state.raw<Refusal | null>(null);
  #of = '';
  #lastEventId = '';

  /** Follows one namespace and time range until the returned function is called. */
  follow(wanted: Wanted): () => void {
    const controller = new AbortController();
    // What it reads of itself on the way must not make the caller's effect start it anew.
    untrack(() => void this.#run(wanted, controller.signal));
    return () => controller.abort();
  }

  async #run(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const { namespace, window, paused, hidden } = wanted;
    const of = JSON.stringify([namespace, window]);
    clock.run(!paused);
    if (of !== this.#of) {
      if (this.overview !== null && this.overview.namespace !== namespace) this.overview = null;
      this.#lastEventId = '';
    }
    let fresh = of === this.#of && this.overview !== null;
    for (let pause = FIRST_PAUSE_MS; !signal.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      try {
        if (!fresh) {
          if (this.link !== 'lost') this.link = 'connecting';
          this.#take(await getOverview(namespace, window, token.value, signal));
          this.#of = of;
          fresh = true;
        }
        if (paused || hidden) {
          this.link = paused ? 'paused' : 'hidden';
          return;
        }
        await this.#stream(streamUrl(namespace, window), signal, () => (pause = FIRST_PAUSE_MS));
      } catch (cause) {
        if (signal.aborted) return;
        this.refusal = cause instanceof Refusal && cause.status !== 0 ? cause : null;
        if (this.refusal?.needsToken) {
          this.link = 'locked';
          token.want();
          return;
        }
      }
      if (signal.aborted) return;
      this.link = 'lost';
      await wait(pause * (0.75 + Math.random() / 2), signal);
    }
  }

  async #stream(url: string, outer: AbortSignal, alive: () => void): Promise<void> {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), LONGEST_SILENCE_MS);
    const signal = AbortSignal.any([outer, silence.signal]);
    try {
      const resume = this.#lastEventId === '' ? {} : { 'last-event-id': this.#lastEventId };
      const headers = headersWith(token.value, { accept: 'text/event-stream', ...resume });
      const response = await fetch(url, { headers, signal, cache: 'no-store' });
      if (!response.ok || response.body === null) throw await refusalOf(response);
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), LONGEST_SILENCE_MS);
        const events = parser.push(value);
        if (outer.aborted) return;
        this.link = 'live';
        this.refusal = null;
        alive();
        for (const { event, data, id } of events) {
          if (event === 'overview') this.#take(JSON.parse(data) as Overview);
          this.#lastEventId = id;
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(overview: Overview): void {
    this.overview = overview;
    clock.learn(overview.at);
  }
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}

export const feed = new Feed();
