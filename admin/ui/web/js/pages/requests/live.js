import { useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { on, useTopic } from '../../lib/events.js';
import { matches } from './filter.js';
import { empty, pause, resume, take } from './tail.js';

// useTail feeds the ring from `request` events while on; they are taken in once a
// frame, so that a burst costs one drawing. hold and release stop it for the
// pointer and for scrolling; toggle is the reader's own pause, which wins.
export function useTail(enabled, filter) {
  const [tail, setTail] = useState(empty), [own, setOwn] = useState(false);
  const filterNow = useRef(filter), held = useRef({ pointer: false, scroll: false, own: false });
  filterNow.current = filter;
  useTopic('requests', enabled);
  useEffect(() => { setTail(empty()); setOwn(false); held.current.own = false; }, [enabled, JSON.stringify(filter)]);
  useEffect(() => {
    if (!enabled) return undefined;
    let batch = [], frame = 0;
    const flush = () => {
      frame = 0;
      const events = batch;
      batch = [];
      setTail((old) => take(old, events, (row) => matches(filterNow.current, row)));
    };
    const release = on('request', (row) => {
      batch.push(row);
      frame ||= requestAnimationFrame(flush);
    });
    return () => { release(); cancelAnimationFrame(frame); };
  }, [enabled]);
  const settle = () => {
    const h = held.current;
    setTail(h.pointer || h.scroll || h.own ? pause : resume);
  };
  return {
    tail, own,
    hold: (what, yes) => { held.current[what] = yes; settle(); },
    toggle: () => { held.current.own = !held.current.own; setOwn(held.current.own); settle(); },
    catchUp: () => { held.current = { pointer: false, scroll: false, own: false }; setOwn(false); settle(); },
  };
}
