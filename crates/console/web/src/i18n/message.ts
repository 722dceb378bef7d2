// Filling messages. The result is text, or pieces of text of which the filled ones can be set off; never markup.

export type Value = string | number;
export interface Piece {
  text: string;
  /** The placeholder's name where the text is a value. */
  value: string | null;
}

/** The names of the placeholders of a message, taken from its type: `{a} of {b}` → 'a' | 'b'. */
export type Placeholders<Text extends string> = Text extends `${string}{${infer Inside}}${infer Rest}`
  ? (Inside extends `${infer Name}?${string}` ? Name : Inside) | Placeholders<Rest>
  : never;

const PLACEHOLDER = /\{(\w+)(?:\?([^|}]*)\|([^}]*))?\}/g;

export function pieces(message: string, values: Readonly<Record<string, Value>>): Piece[] {
  const found: Piece[] = [];
  let last = 0;
  const text = (end: number) => end > last && found.push({ text: message.slice(last, end), value: null });
  for (const match of message.matchAll(PLACEHOLDER)) {
    const [whole, name, one, many] = match as unknown as [string, string, string | undefined, string | undefined];
    text(match.index);
    last = match.index + whole.length;
    const value = values[name] ?? '';
    if (one === undefined) found.push({ text: String(value), value: name });
    else found.push({ text: Number(value) === 1 ? one : (many ?? one), value: null });
  }
  text(message.length);
  return found;
}

export const fill = (message: string, values: Readonly<Record<string, Value>>): string =>
  pieces(message, values)
    .map((piece) => piece.text)
    .join('');

/** The names that a message wants filled, sorted; catalogues must agree on them. */
export const placeholders = (message: string): string[] =>
  [...new Set([...message.matchAll(PLACEHOLDER)].map((match) => match[1]!))].sort();
