import { setServerTime } from './clock.js';
import { toQuery } from './query.js';

// root is …/admin/: the page stands at …/admin/ui/, under any prefix.
export const root = new URL('../', location.origin + location.pathname.replace(/[^/]*$/, ''));

// loopback: this page comes from the same machine, so that no network sees what it sends.
export const loopback = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

// What a refused call asks the user for. session.js sets them; each answers
// true when the call may be repeated.
/** @type {{ signIn: (error?: Error) => Promise<boolean>, sudo: (error?: Error) => Promise<boolean> }} */
export const ask = { signIn: async () => false, sudo: async () => false };

// ApiError is a failed call: status 0 means that no answer came. code, detail,
// requestId, errors [{field, code}] and data (extra members) are the problem's.
export class ApiError extends Error {
  constructor(status, problem = {}, headers = new Headers()) {
    super(problem.detail || problem.title || (status ? `HTTP ${status}` : 'network'));
    this.name = 'ApiError';
    this.status = status;
    this.code = problem.code ?? '';
    this.title = problem.title ?? '';
    this.detail = problem.detail ?? '';
    this.errors = problem.errors ?? [];
    this.requestId = problem.request_id ?? headers.get('X-Request-Id') ?? '';
    this.retryAfter = Number(headers.get('Retry-After')) || 0;
    this.data = problem;
  }
}

const readProblem = async (response) => {
  try { return await response.json(); } catch { return {}; }
};

/**
 * @typedef {{ method?: string, query?: object, body?: any, type?: string, headers?: Record<string, string>,
 *   signal?: AbortSignal, plain?: boolean }} Options
 * @param {string} path
 * @param {Options} [options]
 */
async function once(path, { method = 'GET', query, body, type, headers = {}, signal } = {}) {
  const url = new URL(path, root);
  if (query) url.search = toQuery(query);
  /** @type {RequestInit & { headers: Record<string, string> }} */
  const init = { method, signal, headers: { Accept: 'application/json', ...headers }, credentials: 'same-origin' };
  if (body !== undefined) {
    init.headers['Content-Type'] = type ?? 'application/json';
    init.body = type ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(url, init);
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new ApiError(0);
  }
  if (response.headers.has('Date')) setServerTime(response.headers.get('Date'));
  if (!response.ok) throw new ApiError(response.status, await readProblem(response), response.headers);
  return response;
}

// call is fetch with our errors. A 401 opens the sign-in dialog and a demand for
// re-authentication the sudo dialog; after either the call is made again.
/** @param {string} path @param {Options} [options] */
export async function call(path, options = {}) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await once(path, options);
    } catch (e) {
      if (!(e instanceof ApiError) || options.plain || attempt >= 2) throw e;
      const again = e.status === 401 ? await ask.signIn(e)
        : e.status === 403 && e.code === 'sudo_required' ? await ask.sudo(e) : false;
      if (!again) throw e;
    }
  }
}

// api answers the JSON of a call, null for an empty answer. Options: method,
// query, body (JSON), headers, signal, plain (never ask the user).
/** @param {string} path @param {Options} [options] */
export async function api(path, options) {
  const response = await call(path, options);
  if (response.status === 204) return null;
  return response.json();
}

// apiTagged also answers the ETag, for If-Match.
export async function apiTagged(path, options) {
  const response = await call(path, options);
  return { data: response.status === 204 ? null : await response.json(), etag: response.headers.get('ETag') };
}

export const post = (path, body, options) => api(path, { method: 'POST', body: body ?? {}, ...options });
export const patch = (path, body, options) => api(path, { method: 'PATCH', body, ...options });
export const del = (path, options) => api(path, { method: 'DELETE', ...options });

// idempotencyKey is the header for a creating POST that may be repeated.
export const idempotencyKey = () => ({ 'Idempotency-Key': [...crypto.getRandomValues(new Uint8Array(16))]
  .map((b) => b.toString(16).padStart(2, '0')).join('') });

// download saves the answer of a call as a file under the name the server gives.
export async function download(path, options, fallbackName) {
  const response = await call(path, options);
  const name = /filename="?([^";]+)/.exec(response.headers.get('Content-Disposition') ?? '')?.[1] ?? fallbackName;
  saveFile(await response.blob(), name);
}

export function saveFile(content, name, type = 'text/plain') {
  const blob = content instanceof Blob ? content : new Blob([content], { type });
  const a = document.createElement('a');
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000);
}
