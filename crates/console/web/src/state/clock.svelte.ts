// The control plane's clock, so that ages are right on a machine whose clock is not. It stands still while paused.

class Clock {
  #skewMs = 0;
  #running = true;
  now = $state(Date.now());

  constructor() {
    setInterval(() => this.#running && this.#tick(), 1000);
  }

  #tick(): void {
    this.now = Date.now() + this.#skewMs;
  }

  /** Learns the time from an answer of the control plane. */
  learn(timestamp: string): void {
    const then = Date.parse(timestamp);
    if (Number.isNaN(then)) return;
    this.#skewMs = then - Date.now();
    this.#tick();
  }

  run(running: boolean): void {
    this.#running = running;
  }
}

export const clock = new Clock();
