// phases cuts the whole time into queue, attempts that failed, first token and
// stream: where the time went.
/** @returns {[string, number][]} */
export function phases(request) {
  const tries = request.tries ?? [], last = tries.at(-1);
  const begun = last?.started_ms ?? request.waited_ms ?? 0;
  const first = request.ttft_ms ?? request.duration_ms;
  const failed = tries.slice(0, -1).reduce((n, a) => n + a.duration_ms, 0);
  const queue = Math.max(0, begun - failed);
  /** @type {[string, number][]} */
  const all = [
    ['queue', queue], ['failed', Math.min(failed, begun)], ['first', Math.max(0, first - begun)],
    ['stream', Math.max(0, request.duration_ms - Math.max(first, begun))],
  ];
  return all.filter(([, n]) => n > 0);
}

// spans places each attempt on the time axis of the whole request, in per cent. All
// times are whole milliseconds, so that an attempt may seem to end after its request.
export function spans(tries, whole) {
  const axis = Math.max(1, whole, ...tries.map((a) => a.started_ms + a.duration_ms));
  return tries.map((a) => {
    const width = Math.max(0.6, (a.duration_ms / axis) * 100);
    return { width, left: Math.min((Math.max(0, a.started_ms) / axis) * 100, 100 - width) };
  });
}
