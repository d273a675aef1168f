import { useCallback, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { api } from '../../lib/api.js';
import { serverNow } from '../../lib/clock.js';
import { apiQuery, spread } from './filter.js';

const PAGE = 100;
const nothing = { items: [], next: null, kept: null, ready: false, error: null, busy: false, scannedTo: null };

// useLog reads the log page by page with a cursor. reload starts over; the old rows
// stay (dimmed) until the new ones are here.
export function useLog(filter, enabled) {
  const [state, setState] = useState(nothing), run = useRef(null), key = JSON.stringify(filter);
  const read = useCallback(async (own, cursor) => {
    setState((s) => ({ ...s, busy: true, error: null }));
    try {
      const got = await api('requests', { query: { ...own.query, limit: PAGE, cursor }, signal: own.abort.signal });
      if (run.current !== own) return;
      setState((s) => ({
        items: cursor ? [...s.items, ...got.items] : got.items, next: got.next, kept: got.kept ?? s.kept,
        scannedTo: got.complete === false ? got.scanned_to : null, ready: true, error: null, busy: false,
      }));
    } catch (error) {
      if (error.name !== 'AbortError' && run.current === own) setState((s) => ({ ...s, busy: false, error }));
    }
  }, []);
  const reload = useCallback(() => {
    run.current?.abort.abort();
    // The span is fixed when reading starts, so that later pages belong to the first.
    const own = { query: apiQuery(filter, serverNow()), abort: new AbortController() };
    run.current = own;
    read(own);
  }, [key]);
  useEffect(() => {
    if (!enabled) return undefined;
    reload();
    return () => { run.current?.abort.abort(); run.current = null; };
  }, [key, enabled]);
  const more = () => { if (state.next && !state.busy && run.current) read(run.current, state.next); };
  return { ...state, reload, more };
}

// useHistogram reads the chart over the table for the same filter.
export function useHistogram(filter, version) {
  const [state, setState] = useState({ data: null, busy: true, error: null }), key = JSON.stringify(filter);
  useEffect(() => {
    const abort = new AbortController();
    setState((s) => ({ ...s, busy: true, error: null }));
    const query = apiQuery(filter, serverNow()), to = query.to ? Date.parse(query.to) : serverNow();
    api('requests/histogram', { query, signal: abort.signal }).then(
      (data) => setState({ data: spread(data, Date.parse(query.from), to), busy: false, error: null }),
      (error) => error.name === 'AbortError' || setState((s) => ({ ...s, busy: false, error })),
    );
    return () => abort.abort();
  }, [key, version]);
  return state;
}
