// Pure functions over the columns of GET stats/series.

const columns = ['ok', 'retried', 'client_error', 'failed', 'p50_ms', 'p95_ms', 'ttft_p50_ms', 'tokens_in', 'tokens_out', 'cost_nano'];

// slice is the part of the series between two moments in ms; both null: all of it.
export function slice(series, from, to) {
  if (from === null || to === null) return series;
  const first = series.t.findIndex((iso) => Date.parse(iso) >= from);
  const last = series.t.findLastIndex((iso) => Date.parse(iso) <= to);
  if (first < 0 || last - first < 1) return series;
  const cut = (column) => column?.slice(first, last + 1);
  return {
    ...series, t: cut(series.t), open: series.open && last === series.t.length - 1,
    ...Object.fromEntries(columns.map((c) => [c, cut(series[c])])),
  };
}

// means are n means over the whole span: the shape without the noise. An empty part is null.
export function means(values, n = 32) {
  const parts = Math.min(n, values.length);
  return Array.from({ length: parts }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / parts), Math.floor(((i + 1) * values.length) / parts));
    const known = part.filter((v) => v !== null && v !== undefined);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  });
}

export const requests = (s) => s.ok.map((n, i) => n + s.retried[i] + s.client_error[i] + s.failed[i]);
export const tokens = (s) => s.tokens_in.map((n, i) => n + s.tokens_out[i]);
// success is null where nothing was asked. A request that was retried and then answered succeeded.
export const success = (s) => requests(s).map((all, i) => (all ? (s.ok[i] + s.retried[i]) / all : null));
// closed leaves out the last bucket while it is still filling, which would look like a fall.
export const closed = (s, values) => (s.open && values.length > 2 ? values.slice(0, -1) : values);

export const isEmpty = (s) => requests(s).every((n) => n === 0);
