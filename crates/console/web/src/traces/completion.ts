// What may come next in a query: a key, a comparison of it with a value that is known, or a word that joins two.

const KEYS = ['service=', 'operation=', 'duration>', 'error=true', 'http.route=', 'http.request.method=', 'http.response.status_code=', 'exists('];
const JOINTS = ['AND', 'OR', 'NOT'];
const MOST = 24;

/** A value as the query language takes it: bare where it is a plain word, in quotes otherwise. */
export const literal = (value: string): string =>
  /^[\w.:/-]+$/.test(value) ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`;

/** Whole queries that begin with `text`, up to the word that is being written. */
export function completions(text: string, known: { services: readonly string[]; operations: readonly string[] }): string[] {
  const at = text.search(/[^\s()]*$/);
  const [before, word] = [text.slice(0, at), text.slice(at)];
  const words = [
    ...(/[^\s(]\s+$/.test(before) && !/\b(AND|OR|NOT)\s+$/i.test(before) ? JOINTS : KEYS),
    ...known.services.map((name) => `service=${literal(name)}`),
    ...known.operations.map((name) => `operation=${literal(name)}`),
  ];
  const fits = (candidate: string) => candidate !== word && candidate.toLowerCase().startsWith(word.toLowerCase());
  return [...new Set(words.filter(fits))].slice(0, MOST).map((candidate) => before + candidate);
}
