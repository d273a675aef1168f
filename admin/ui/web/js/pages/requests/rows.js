import { useEffect, useLayoutEffect, useRef, useState } from '../../vendor/preact.mjs';
import { reveal, seen, visible } from '../../lib/window.js';
import { useNarrow } from '../../ui/vtable.js';

const OVER = 8;

// useRows makes a VTable's window of rows that are all here: a log read by cursor,
// or the live ring. onEnd is called near the last row, onScroll with the position,
// onHold when the pointer comes over the rows and leaves them.
/** @param {any[]} items @param {{ ready?: boolean, stale?: boolean, error?: Error | null, onEnd?: () => void, onRetry?: () => void,
 *   onScroll?: (top: number) => void, onHold?: (on: boolean) => void }} [options] */
export function useRows(items, { ready = true, stale = false, error = null, onEnd, onRetry, onScroll, onHold } = {}) {
  const rowHeight = useNarrow() ? 64 : 36, box = useRef(null), [range, setRange] = useState([0, 40]);
  const measure = () => {
    const el = box.current;
    if (!el || el.clientHeight === 0) return;
    const next = visible(el.scrollTop, el.clientHeight, rowHeight, items.length, OVER);
    setRange((old) => (old[0] === next[0] && old[1] === next[1] ? old : next));
  };
  useLayoutEffect(() => {
    if (!box.current) return undefined;
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [rowHeight, items.length, box.current]);
  useEffect(() => { if (items.length && range[1] >= items.length - 20) onEnd?.(); }, [range[1], items.length]);
  const rows = [];
  for (let i = range[0]; i < Math.min(range[1], items.length); i++) rows.push([i, items[i]]);
  return {
    box, rows, rowHeight, range, stale, error, ready, total: items.length,
    rowAt: (i) => items[i] ?? null,
    failedAt: () => null,
    fresh: 0,
    hold: (on) => onHold?.(on),
    retry: () => onRetry?.(),
    onScroll: () => { measure(); onScroll?.(box.current.scrollTop); },
    reveal: (i) => {
      const el = box.current;
      if (el) el.scrollTop = reveal(i, el.scrollTop, seen(el) - (rowHeight === 36 ? 33 : 0), rowHeight);
    },
  };
}
