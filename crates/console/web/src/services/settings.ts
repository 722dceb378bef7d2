// A section of a policy, flat: one setting for each value in it, named by the way to it. What is off is left out; a
// section of which nothing is left is off as a whole.

export interface Setting {
  name: string;
  says: string;
}

export function settings(value: unknown, name = ''): Setting[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) {
    const plain = value.every((item) => typeof item !== 'object' || item === null);
    if (plain) return value.length === 0 ? [] : [{ name, says: value.join(', ') }];
    return value.flatMap((item, i) => settings(item, `${name}[${i}]`));
  }
  if (typeof value === 'object') {
    return Object.entries(value).flatMap(([key, inner]) => settings(inner, name === '' ? key : `${name}.${key}`));
  }
  return [{ name, says: String(value) }];
}
