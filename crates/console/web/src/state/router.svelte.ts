// The address bar as state. Links are plain `<a href>`, so that they open in a new tab, can be copied, and work with
// the keyboard; one listener turns plain clicks on them into a change of the view without loading the page anew.

import { formatView, parseView, type View } from './url';

class Router {
  view = $state.raw<View>(parseView(location));

  constructor() {
    addEventListener('popstate', () => (this.view = parseView(location)));
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** The address of this view with some of it changed. */
  href(change: Partial<View>): string {
    return formatView({ ...this.view, ...change });
  }

  go(change: Partial<View>, { replace = false } = {}): void {
    this.#show(this.href(change), replace);
  }

  #show(address: string, replace: boolean): void {
    if (address === location.pathname + location.search) return;
    history[replace ? 'replaceState' : 'pushState'](null, '', address);
    this.view = parseView(location);
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest('a[href]');
    if (!(link instanceof HTMLAnchorElement) || link.target !== '' || link.origin !== location.origin) return;
    if (link.hash !== '') return;
    event.preventDefault();
    const samePage = link.pathname === location.pathname;
    this.#show(link.pathname + link.search, false);
    if (!samePage) scrollTo(0, 0);
  }
}

export const router = new Router();
