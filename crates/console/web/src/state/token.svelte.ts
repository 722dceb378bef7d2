// The bearer token, where one is needed: kept for this tab only, never in an address, never in a cookie.

const KEY = 'bellwether.token';

function recall(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

class Token {
  #value = $state<string | null>(recall());
  /** The control plane answered 401: someone has to give a token before anything goes on. */
  wanted = $state(false);
  /** ... and it answered so to a token, not to none. */
  refused = $state(false);

  get value(): string | null {
    return this.#value;
  }

  set(value: string | null): void {
    this.#value = value;
    this.wanted = false;
    try {
      if (value === null) sessionStorage.removeItem(KEY);
      else sessionStorage.setItem(KEY, value);
    } catch {
      // Not kept: it is asked for again after a reload.
    }
  }

  want(): void {
    this.refused = this.#value !== null;
    this.wanted = true;
  }
}

export const token = new Token();
