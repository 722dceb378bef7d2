// One answer of the API that a page shows, kept fresh for as long as someone looks at it. A refusal does not take
// the last answer off the screen; another question does.

import { Refusal } from '../api/client';
import { attention } from './attention.svelte';
import { token } from './token.svelte';

export type Ask<T> = (token: string | null, signal: AbortSignal) => Promise<T>;

export class Resource<T> {
  value = $state.raw<T | null>(null);
  refusal = $state.raw<Refusal | null>(null);
  #of = '';
  #wake: () => void = () => undefined;

  /**
   * Asks at once, and again after `everyMs` each time (0: never), until the returned function is called. Meant for an
   * effect, which runs anew when somebody looks again or another token is given. `of` names the question.
   */
  follow(of: string, ask: Ask<T>, everyMs = 0): () => void {
    const given = token.value;
    const again = attention.here && everyMs > 0;
    if (token.wanted) return () => undefined;
    if (of !== this.#of) {
      this.#of = of;
      this.value = null;
      this.refusal = null;
    }
    const controller = new AbortController();
    void this.#run(ask, given, again ? everyMs : 0, controller.signal);
    return () => controller.abort();
  }

  /** Asks anew now: something was done that changes the answer. */
  again(): void {
    this.#wake();
  }

  async #run(ask: Ask<T>, given: string | null, everyMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      try {
        const answer = await ask(given, signal);
        if (signal.aborted) return;
        this.value = answer;
        this.refusal = null;
      } catch (cause) {
        if (signal.aborted) return;
        this.refusal = cause instanceof Refusal ? cause : new Refusal(0, null, String(cause), null);
        if (this.refusal.needsToken) return token.want();
      }
      const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      const rounds = everyMs > 0 ? [new Promise<void>((resolve) => setTimeout(resolve, everyMs))] : [];
      await Promise.race([woken, ended, ...rounds]);
    }
  }
}
