// byDay adds up a series (GET stats/series) by local day, oldest first, days without
// traffic too: [{ day, at, requests, tokens, cost }]. cost is null where no price is known.
export function byDay(series) {
  const days = new Map();
  series.t.forEach((iso, i) => {
    const at = new Date(iso), key = `${at.getFullYear()}-${at.getMonth()}-${at.getDate()}`;
    const sum = days.get(key) ?? { day: key, at: iso, requests: 0, tokens: 0, cost: null };
    sum.requests += series.ok[i] + series.retried[i] + series.client_error[i] + series.failed[i];
    sum.tokens += (series.tokens_in[i] ?? 0) + (series.tokens_out[i] ?? 0);
    const cost = series.cost_nano?.[i];
    if (cost !== null && cost !== undefined) sum.cost = (sum.cost ?? 0) + cost;
    days.set(key, sum);
  });
  return [...days.values()];
}
