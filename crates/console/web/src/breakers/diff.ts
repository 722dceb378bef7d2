// What has changed between two documents, line by line: the longest common subsequence stays.

export interface Line {
  /** ' ' stays, '-' goes, '+' comes. */
  mark: ' ' | '-' | '+';
  text: string;
}

/** Documents beyond this are compared as a whole: the table below has a cell for each pair of lines. */
const MOST_LINES = 2_000;

export function diff(before: string, after: string): Line[] {
  const [a, b] = [before, after].map((text) => (text === '' ? [] : text.split('\n'))) as [string[], string[]];
  const all = (mark: Line['mark'], lines: string[]) => lines.map((text) => ({ mark, text }));
  if (before === after) return all(' ', a);
  if (a.length > MOST_LINES || b.length > MOST_LINES) return [...all('-', a), ...all('+', b)];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const [below, right] = [longest[(i + 1) * width + j]!, longest[i * width + j + 1]!];
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1]! + 1 : Math.max(below, right);
    }
  }
  const lines: Line[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) lines.push({ mark: ' ', text: a[(j++, i++)]! });
    else if (i < a.length && (j === b.length || longest[(i + 1) * width + j]! >= longest[i * width + j + 1]!)) lines.push({ mark: '-', text: a[i++]! });
    else lines.push({ mark: '+', text: b[j++]! });
  }
  return lines;
}

/** A stored document as text. */
export const written = (document: unknown): string => (document === null || document === undefined ? '' : JSON.stringify(document, null, 2));
