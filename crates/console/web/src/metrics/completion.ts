// What may come next in a PromQL query: the names of metrics and of functions.

const FUNCTIONS = ['rate(', 'increase(', 'sum(', 'sum by (service) (', 'avg(', 'max(', 'min(', 'count(', 'topk(5, ', 'histogram_quantile(0.99, ', 'irate(', 'absent('];
const MOST = 24;

/** Whole queries that begin with `text`, up to the word that is being written. */
export function completionsOf(text: string, metrics: readonly string[]): string[] {
  const at = text.search(/[\w:]*$/);
  const [before, word] = [text.slice(0, at), text.slice(at).toLowerCase()];
  // Within braces or brackets there are labels and periods, not metrics.
  if (/[{[][^}\]]*$/.test(before)) return [];
  const fits = (candidate: string) => candidate.toLowerCase().startsWith(word) && candidate.toLowerCase() !== word;
  return [...metrics, ...FUNCTIONS].filter(fits).slice(0, MOST).map((candidate) => before + candidate);
}
