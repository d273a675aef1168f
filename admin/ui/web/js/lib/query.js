// Pure functions over the address: #/keys?status=invalid&sort=-errors_24h

// parseHash splits location.hash into the page's path and its parameters.
export function parseHash(hash) {
  const text = hash.replace(/^#/, '');
  const cut = text.indexOf('?');
  const path = (cut < 0 ? text : text.slice(0, cut)).replace(/\/+$/, '') || '/';
  return { path: path.startsWith('/') ? path : '/' + path, q: new URLSearchParams(cut < 0 ? '' : text.slice(cut + 1)) };
}

// toQuery is a query string without the empty values; arrays repeat their name.
export function toQuery(values) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const v of Array.isArray(value) ? value : [value]) {
      if (v !== null && v !== undefined && v !== '' && v !== false) q.append(name, String(v));
    }
  }
  return q.toString();
}

export function formatHash(path, values = {}) {
  const q = toQuery(values);
  return '#' + path + (q ? '?' + q : '');
}

// parseSort reads "-errors_24h" as { sort: 'errors_24h', order: 'desc' }.
export function parseSort(text, fallback) {
  const value = text || fallback;
  return value.startsWith('-') ? { sort: value.slice(1), order: 'desc' } : { sort: value, order: 'asc' };
}
export const formatSort = ({ sort, order }) => (order === 'desc' ? '-' : '') + sort;
