// The live tail's memory: a ring of the newest rows that stands still while the
// reader looks at it. Plain values, no DOM.

export const SIZE = 500;

// rows: newest first, what is shown. held: arrived while paused, newest first.
// seen: requests there were since the start, shown or not (the server samples).
export const empty = () => ({ rows: [], held: [], seen: 0, received: 0, missed: 0, paused: false });

const newest = (fresh, old) => [...fresh, ...old].slice(0, SIZE);

// take adds a batch of events in order of arrival. An event with sampled: n stands
// for n requests. keep filters; rows that it refuses count neither as seen nor shown.
/** @param {any} tail @param {any[]} batch @param {(row: any) => boolean} [keep] */
export function take(tail, batch, keep = () => true) {
  const fresh = batch.filter(keep).reverse();
  if (!fresh.length) return tail;
  const seen = tail.seen + fresh.reduce((n, r) => n + Math.max(1, r.sampled ?? 1), 0);
  const received = tail.received + fresh.length;
  if (!tail.paused) return { ...tail, rows: newest(fresh, tail.rows), seen, received };
  const held = newest(fresh, tail.held);
  return { ...tail, held, seen, received, missed: tail.missed + fresh.length };
}

export const pause = (tail) => (tail.paused ? tail : { ...tail, paused: true });

// resume shows what was held.
export function resume(tail) {
  if (!tail.paused) return tail;
  return { ...tail, rows: newest(tail.held, tail.rows), held: [], missed: 0, paused: false };
}

// sampling: one of how many requests is shown, rounded; 1 when all are.
export const sampling = (tail) => (tail.received ? Math.max(1, Math.round(tail.seen / tail.received)) : 1);
