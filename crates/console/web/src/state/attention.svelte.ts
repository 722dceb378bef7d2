// Whether anybody looks: nothing is asked for while the view is paused or the tab is hidden.

import { router } from './router.svelte';

class Attention {
  hidden = $state(document.hidden);

  constructor() {
    document.addEventListener('visibilitychange', () => (this.hidden = document.hidden));
  }

  get here(): boolean {
    return !this.hidden && !router.view.paused;
  }
}

export const attention = new Attention();
