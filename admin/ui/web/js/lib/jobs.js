import { computed, signal } from '../vendor/preact.mjs';
import { api, del, post } from './api.js';
import { on, online } from './events.js';

// Jobs are long work on the server. They survive navigation and reload: the list
// is read when the stream opens, then patched by `job` events.

const byId = signal({});
const ended = new Map(); // id → functions to call with the last state

export const jobs = computed(() => Object.values(byId.value).sort((a, b) => (a.started_at < b.started_at ? -1 : 1)));
export const isOver = (job) => job.state === 'done' || job.state === 'cancelled' || job.state === 'failed';
export const running = (kind) => jobs.value.find((j) => j.kind === kind && !isOver(j));

// track takes in a job's newest state.
export function track(job) {
  const old = byId.value[job.id];
  if (old && isOver(old) && !isOver(job)) return; // an older answer came late
  byId.value = { ...byId.value, [job.id]: job };
  if (!isOver(job)) return;
  const fns = ended.get(job.id) ?? [];
  ended.delete(job.id);
  for (const fn of fns) fn(job);
}

// whenOver answers a promise of the job's last state.
export function whenOver(id) {
  const job = byId.value[id];
  if (job && isOver(job)) return Promise.resolve(job);
  return new Promise((resolve) => ended.set(id, [...(ended.get(id) ?? []), resolve]));
}

export async function cancelJob(id) { track(await post(`jobs/${id}/cancel`)); }

// closeJob removes a finished job from the dock, here and on the server.
export async function closeJob(id) {
  const { [id]: gone, ...rest } = byId.value;
  byId.value = rest;
  try { await del('jobs/' + id); } catch (e) { if (e.status !== 404 && gone) track(gone); }
}

async function load() {
  const list = await api('jobs');
  const known = new Set(list.items.map((j) => j.id));
  const kept = Object.fromEntries(Object.entries(byId.value).filter(([id, j]) => known.has(id) || !isOver(j)));
  byId.value = kept;
  list.items.forEach(track);
}

export function startJobs() {
  on('job', track);
  online.subscribe((yes) => { if (yes) load().catch(() => {}); });
  // Without a stream (a proxy that buffers it) running jobs are asked for.
  setInterval(() => { if (!online.value && jobs.value.some((j) => !isOver(j))) load().catch(() => {}); }, 3000);
}
