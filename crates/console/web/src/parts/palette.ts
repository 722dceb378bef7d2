// What the command palette offers for what is typed. Every word that is typed must be found; what begins with it comes
// before what merely has it, and what is shorter before what is longer.

export interface Command {
  id: string;
  /** What it is: a page, a service, a namespace, an action. */
  group: string;
  name: string;
  /** Further words by which it is found. */
  words?: string;
}

/** More than this nobody reads; typing one more letter is faster. */
export const SHOWN = 12;

export function ranked<C extends Command>(commands: readonly C[], typed: string): C[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const scored = commands.flatMap((command, at) => {
    const name = command.name.toLowerCase();
    const all = `${name} ${command.group} ${command.words ?? ''}`.toLowerCase();
    if (!words.every((word) => all.includes(word))) return [];
    const first = words[0];
    const rank = first === undefined ? 0 : name.startsWith(first) ? 0 : name.includes(first) ? 1 : 2;
    return [{ command, key: [rank, first === undefined ? 0 : name.length, at] as const }];
  });
  scored.sort((a, b) => a.key[0] - b.key[0] || a.key[1] - b.key[1] || a.key[2] - b.key[2]);
  return scored.slice(0, SHOWN).map(({ command }) => command);
}

/** A trace's id, where that is what was typed. */
export const traceIdIn = (typed: string): string | null => /^\s*([0-9a-fA-F]{32})\s*$/.exec(typed)?.[1]?.toLowerCase() ?? null;
