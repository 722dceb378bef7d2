// What belongs to the reader: language and theme. The address may override either for one visit; the browser
// remembers what the reader chose; otherwise the browser's own settings decide.

import { en, type Catalogue, type Key } from '../i18n/en';
import { fill, pieces, type Piece, type Placeholders, type Value } from '../i18n/message';
import { zh } from '../i18n/zh';
import { ageUnit, secondsSince } from '../format';
import { clock } from './clock.svelte';
import { router } from './router.svelte';

export const LANGUAGES = { en: 'English', zh: '简体中文' } as const;
export type Language = keyof typeof LANGUAGES;
export type Theme = 'light' | 'dark';

const CATALOGUES: Record<Language, Catalogue> = { en, zh };
const isLanguage = (value: string | null): value is Language => value !== null && Object.hasOwn(LANGUAGES, value);
const isTheme = (value: string | null): value is Theme => value === 'light' || value === 'dark';

// A browser may refuse storage altogether; the console then works without a memory.
function recall(key: string): string | null {
  try {
    return localStorage.getItem(`bellwether.${key}`);
  } catch {
    return null;
  }
}
function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`bellwether.${key}`, value);
  } catch {
    // Not kept: the choice holds until the page is closed.
  }
}

const darkSystem = matchMedia('(prefers-color-scheme: dark)');

class Preferences {
  #language = $state<Language | null>(null);
  #theme = $state<Theme | null>(null);
  #systemTheme = $state<Theme>(darkSystem.matches ? 'dark' : 'light');

  constructor() {
    const language = recall('language');
    const theme = recall('theme');
    if (isLanguage(language)) this.#language = language;
    if (isTheme(theme)) this.#theme = theme;
    darkSystem.addEventListener('change', ({ matches }) => (this.#systemTheme = matches ? 'dark' : 'light'));
  }

  get language(): Language {
    if (isLanguage(router.view.lang)) return router.view.lang;
    if (this.#language !== null) return this.#language;
    return navigator.languages.find((tag) => /^(zh|en)\b/i.test(tag))?.toLowerCase().startsWith('zh') ? 'zh' : 'en';
  }

  set language(language: Language) {
    this.#language = language;
    keep('language', language);
    router.go({ lang: null }, { replace: true });
  }

  get theme(): Theme {
    return isTheme(router.view.theme) ? router.view.theme : (this.#theme ?? this.#systemTheme);
  }

  set theme(theme: Theme) {
    this.#theme = theme;
    keep('theme', theme);
    router.go({ theme: null }, { replace: true });
  }
}

export const preferences = new Preferences();

type Values<K extends Key> = Readonly<Record<Placeholders<(typeof en)[K]>, Value>>;
type Arguments<K extends Key> = [Placeholders<(typeof en)[K]>] extends [never] ? [] : [values: Values<K>];

/** The message in the reader's language. Which values it needs is part of its type. */
export function t<K extends Key>(key: K, ...[values]: Arguments<K>): string {
  return fill(CATALOGUES[preferences.language][key], values ?? {});
}

/** The message in pieces, for a component that sets the values off. */
export function tPieces<K extends Key>(key: K, ...[values]: Arguments<K>): Piece[] {
  return pieces(CATALOGUES[preferences.language][key], values ?? {});
}

/** The translation of a word that the API defines, or the word itself where the API has learned a new one. */
export function tWord(prefix: string, word: string): string {
  const key = `${prefix}.${word}`;
  return Object.hasOwn(en, key) ? CATALOGUES[preferences.language][key as Key] : word;
}

/** How long ago, in words, by the control plane's clock. */
export function ago(timestamp: string | null): string {
  const seconds = secondsSince(timestamp, clock.now);
  if (seconds === null) return '–';
  const { unit, n } = ageUnit(seconds);
  return unit === 'now' ? t('age.now') : t(`age.${unit}`, { n });
}
