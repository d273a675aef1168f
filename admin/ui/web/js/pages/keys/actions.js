import { html, signal } from '../../vendor/preact.mjs';
import { del, post } from '../../lib/api.js';
import { full, ms } from '../../lib/format.js';
import { has, t } from '../../lib/i18n.js';
import { track, whenOver } from '../../lib/jobs.js';
import { go } from '../../lib/route.js';
import { isAdmin } from '../../lib/session.js';
import { toRequest } from '../../lib/selection.js';
import { saidProblem } from '../../lib/servertext.js';
import { Dialog, confirm } from '../../ui/dialog.js';
import { Button, Note, Secret, copyText } from '../../ui/parts.js';
import { attempt, failed, toast, undoable } from '../../ui/toast.js';
import { keyName } from './columns.js';

// What can be done with one key and with many. `changed(key?)` is told after each.

const at = (id, act) => `keys/gemini/${id}${act ? '/' + act : ''}`;
const bulk = (body) => post('keys/gemini/bulk', body);

// One key ---------------------------------------------------------------------

async function turn(key, on, changed) {
  const act = on ? 'enable' : 'disable';
  changed(await post(at(key.id, act)));
  undoable(t(on ? 'keys.enabled' : 'keys.disabled', { name: keyName(key) }),
    async () => changed(await post(at(key.id, on ? 'disable' : 'enable'))));
}

async function validate(key, changed) {
  const close = toast({ text: t('keys.validating', { name: keyName(key) }) });
  const answer = await post(at(key.id, 'validate'));
  close();
  changed(answer);
  const { ok, verdict, message, duration_ms: span } = answer.validation;
  const word = has('job.count.' + verdict) ? t('job.count.' + verdict) : verdict;
  const text = t('keys.validated', { name: keyName(key), verdict: word, t: ms(span) }) + (message ? ` ${message}` : '');
  toast({ kind: ok ? 'ok' : 'bad', key: 'validated', text });
}

async function reset(key, changed) {
  changed(await post(at(key.id, 'reset')));
  toast({ text: t('keys.reset', { name: keyName(key) }) });
}

async function remove(key, changed, closed) {
  const done = await confirm({
    title: t('keys.delete.title', { name: keyName(key) }),
    text: t('keys.delete.text', { n: key.requests_24h }),
    confirm: t('delete'), danger: true, act: () => del(at(key.id)),
  });
  if (!done) return;
  closed?.();
  changed();
  undoable(t('keys.deleted', { name: keyName(key) }), async () => { await post(at(key.id, 'restore')); changed(); });
}

const revealed = signal(null);

async function reveal(key) {
  const { key: value } = await post(at(key.id, 'reveal'));
  revealed.value = { key, value };
}

// Revealed shows a key's value after reveal; it goes with the dialog or after a minute.
export function Revealed() {
  if (!revealed.value) return null;
  const { key, value } = revealed.value;
  const close = () => (revealed.value = null);
  return html`
    <${Dialog} title=${keyName(key)} size="small" onClose=${close}
      footer=${html`<${Button} kind="primary" onClick=${close}>${t('close')}<//>`}>
      <${Note} kind="warn">${t('keys.reveal.note')}<//>
      <${Secret} value=${value} label=${t('keys.col.key')} clear=${60_000} /><//>`;
}

// rowMenu is the menu of one key; `open` shows its drawer.
/** @param {any} key @param {{ changed: (key?: object) => void, open?: () => void, closed?: () => void }} context */
export function rowMenu(key, { changed, open, closed }) {
  const off = key.status === 'disabled';
  const look = [
    { text: t('keys.requests'), icon: 'requests', act: () => go('/requests', { key: key.id }) },
    isAdmin.value && { text: t('keys.try'), icon: 'play', act: () => go('/playground', { key: key.id }) },
    { text: t('keys.copyId'), icon: 'copy',
      act: () => attempt(async () => toast({ text: t((await copyText(key.id)) ? 'copied' : 'copy.failed') })) },
  ].filter(Boolean);
  if (!isAdmin.value) return look;
  return [
    { text: t('keys.validate'), icon: 'shield', act: () => attempt(() => validate(key, changed)) },
    { text: t(off ? 'keys.enable' : 'keys.disable'), icon: 'power', act: () => attempt(() => turn(key, off, changed)) },
    { text: t('keys.resetAct'), icon: 'rotate', act: () => attempt(() => reset(key, changed)) },
    open && { text: t('edit'), icon: 'edit', act: open },
    ...look,
    { text: t('keys.reveal'), icon: 'eye', act: () => attempt(() => reveal(key)) },
    null,
    { text: t('delete'), icon: 'trash', danger: true, disabled: key.declared, act: () => attempt(() => remove(key, changed, closed)) },
  ].filter((item) => item !== undefined);
}

// Many keys -------------------------------------------------------------------

const inverse = { enable: 'disable', disable: 'enable', tag: 'untag' };
const many = 20; // more than these are asked for

// report says what a bulk action did; of a job it says so when it is over, and that
// the list is another one only then.
async function report(answer, text, changed) {
  if (answer?.state === undefined) return text(answer.changed);
  track(answer);
  const job = await whenOver(answer.id);
  changed(false);
  return job.state === 'done' ? text(job.counts.changed ?? job.done) : undefined;
}

// onMany runs a bulk action over a selection. Ids can be undone; a filter cannot
// (it may match other keys afterwards), so that it asks first when it is long.
export async function onMany(action, { selection, filter, total, extra = {}, changed }) {
  const request = { action, ...toRequest(selection, filter, total), ...extra };
  const n = request.ids?.length ?? request.expected_count;
  let answer = null;
  const run = async () => {
    try { answer = await bulk(request); } catch (error) {
      if (error.code !== 'count_changed') throw error;
      changed(false);
      throw new Error(t('keys.countChanged', { n: full(error.data.expected), m: full(error.data.found) }));
    }
  };
  try {
    if (action === 'delete') {
      const done = await confirm({
        title: t('keys.bulkDelete.title', { n }), text: t('keys.bulkDelete.text'), confirm: t('delete'), danger: true,
        count: n > many || selection.all ? n : undefined, act: run,
      });
      if (!done) return;
    } else if (selection.all && n > many) {
      const done = await confirm({ title: t('keys.bulk.' + action + '.ask', { n }), confirm: t('keys.bulk.' + action), act: run });
      if (!done) return;
    } else await run();
    changed(true);
    const [first] = answer?.errors ?? [];
    if (first) toast({ kind: 'bad', key: 'skipped', text: t('keys.skipped', { n: answer.skipped }) + ' ' + saidProblem(first.code, first.message) });
    await report(answer, (count) => said(action, count, request, changed), changed);
  } catch (error) {
    failed(error);
    changed(false);
  }
}

// undoing is the request that takes a bulk action back, null if there is none.
// Deleted keys are found again by the filter that they were deleted by; the count
// guards against others that were deleted before.
function undoing(action, { ids, filter, except, expected_count, tags }) {
  if (action === 'delete') return ids ? { action: 'restore', ids } : { action: 'restore', filter, except, expected_count };
  if (!ids || !inverse[action]) return null;
  return { action: inverse[action], ids, ...(action === 'tag' ? { tags } : {}) };
}

function said(action, n, request, changed) {
  const text = t('keys.done.' + action, { n });
  const back = undoing(action, request);
  if (!back) { toast({ text }); return; }
  undoable(text, async () => {
    await report(await bulk(back), () => changed(false), changed);
  });
}
