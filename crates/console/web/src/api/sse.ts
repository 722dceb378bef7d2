// Server-sent events out of a stream of text, as the HTML standard parses them. `EventSource` would do it, but it
// cannot send an `Authorization` header; so the bytes come from `fetch` and the parsing is here.

export interface ServerEvent {
  event: string;
  data: string;
  /** The last id seen up to and including this event; what `Last-Event-ID` resumes from. */
  id: string;
}

/** An event longer than this is a broken server, not a message: the reader gives the connection up. */
export const MAX_EVENT_CHARS = 8 * 1024 * 1024;

export class EventParser {
  #buffer = '';
  #data: string[] = [];
  #size = 0;
  #event = '';
  #id = '';
  #started = false;
  #endedInReturn = false;
  /** What the server asked for with `retry:`, in milliseconds. */
  retryMs: number | null = null;

  /** Takes the next piece of text, cut anywhere, and returns the events that it completes. */
  push(text: string): ServerEvent[] {
    if (!this.#started && text !== '') {
      this.#started = true;
      if (text.startsWith('\uFEFF')) text = text.slice(1);
    }
    // A piece that ends in CR may be followed by one that begins with LF: together they are one line end.
    if (text === '') return [];
    const secondHalf = this.#endedInReturn && text.startsWith('\n');
    this.#endedInReturn = text.endsWith('\r');
    if (secondHalf) text = text.slice(1);
    this.#buffer += text;
    const lines = this.#buffer.split(/\r\n|\n|\r/);
    this.#buffer = lines.pop() ?? '';
    if (this.#size + this.#buffer.length > MAX_EVENT_CHARS) throw new RangeError('server-sent event too long');
    const events: ServerEvent[] = [];
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== null) events.push(event);
    }
    return events;
  }

  #line(line: string): ServerEvent | null {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') {
      this.#size += value.length;
      if (this.#size > MAX_EVENT_CHARS) throw new RangeError('server-sent event too long');
      this.#data.push(value);
    } else if (field === 'event') {
      this.#event = value;
    } else if (field === 'id') {
      if (!value.includes('\0')) this.#id = value;
    } else if (field === 'retry' && /^\d+$/.test(value)) {
      this.retryMs = Number(value);
    }
    return null;
  }

  #dispatch(): ServerEvent | null {
    const data = this.#data;
    const event = this.#event;
    this.#data = [];
    this.#event = '';
    this.#size = 0;
    return data.length === 0 ? null : { event: event || 'message', data: data.join('\n'), id: this.#id };
  }
}
