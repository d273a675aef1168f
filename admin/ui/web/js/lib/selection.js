// A selection over a list that is mostly not here: either some ids, or all that
// match a filter except some. Values are never changed, only made anew.

export const none = () => ({ all: false, ids: new Set() });
export const everything = () => ({ all: true, ids: new Set() });

export const isSelected = (s, id) => s.all !== s.ids.has(id);
export const count = (s, total) => (s.all ? Math.max(0, total - s.ids.size) : s.ids.size);
export const isEmpty = (s, total) => count(s, total) === 0;

// set selects (or, with on = false, unselects) these ids.
export function set(s, ids, on = true) {
  const next = new Set(s.ids);
  for (const id of ids) {
    if (on !== s.all) next.add(id);
    else next.delete(id);
  }
  return { all: s.all, ids: next };
}

export const toggle = (s, id) => set(s, [id], !isSelected(s, id));

// ids lists the selected ones among those given.
export const among = (s, ids) => ids.filter((id) => isSelected(s, id));

// toRequest is the selection as the API takes it: { ids } or { filter, except,
// expected_count }; the count guards against a list that has changed since.
/** @returns {{ ids?: string[], filter?: object, except?: string[], expected_count?: number }} */
export function toRequest(s, filter, total) {
  if (!s.all) return { ids: [...s.ids] };
  const request = { filter, expected_count: count(s, total) };
  if (s.ids.size > 0) request.except = [...s.ids];
  return request;
}
