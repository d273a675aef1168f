import { useCallback, useEffect, useRef, useState } from '../vendor/preact.mjs';

// useLoad reads something now and whenever deps change. data stays while newer is
// on its way (stale) and after a failed reload; error is that of the newest try.
// set(data) replaces it, for patches in place.
export function useLoad(load, deps) {
  const [state, setState] = useState({ data: null, error: null, loading: true });
  const abort = useRef(null);
  const run = useCallback(() => {
    abort.current?.abort();
    const own = new AbortController();
    abort.current = own;
    setState((s) => ({ ...s, loading: true }));
    load(own.signal).then(
      (data) => { if (!own.signal.aborted) setState({ data, error: null, loading: false }); },
      (error) => { if (!own.signal.aborted && error.name !== 'AbortError') setState((s) => ({ ...s, error, loading: false })); },
    );
  }, deps);
  useEffect(() => {
    run();
    return () => abort.current?.abort();
  }, [run]);
  const set = useCallback((change) => setState((s) => ({ ...s, data: typeof change === 'function' ? change(s.data) : change })), []);
  return { ...state, stale: state.loading && state.data !== null, reload: run, set };
}
