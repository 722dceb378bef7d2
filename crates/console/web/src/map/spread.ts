// Keeping things in one column apart without tearing them away from where they belong.

/**
 * The centres nearest to the wished ones (least squares) that keep the order and the distances: pool adjacent
 * violators. `heights` are the boxes' own, `gap` is what must stay free between them.
 */
export function spread(wished: readonly number[], heights: readonly number[], gap: number): number[] {
  const offset: number[] = [];
  let used = 0;
  for (const height of heights) {
    offset.push(used + height / 2);
    used += height + gap;
  }
  const pools: { sum: number; size: number }[] = [];
  wished.forEach((wish, i) => {
    pools.push({ sum: wish - offset[i]!, size: 1 });
    while (pools.length > 1) {
      const last = pools[pools.length - 1]!;
      const previous = pools[pools.length - 2]!;
      if (previous.sum / previous.size <= last.sum / last.size) break;
      pools.pop();
      previous.sum += last.sum;
      previous.size += last.size;
    }
  });
  const base = pools.flatMap(({ sum, size }) => Array<number>(size).fill(sum / size));
  return base.map((value, i) => value + offset[i]!);
}
