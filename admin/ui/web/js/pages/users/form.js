import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { idempotencyKey, patch, post } from '../../lib/api.js';
import { has, t } from '../../lib/i18n.js';
import { Dialog, confirm } from '../../ui/dialog.js';
import { Area, Checkbox, Select, Text } from '../../ui/form.js';
import { Button, ErrorNote, Note } from '../../ui/parts.js';
import { undoable } from '../../ui/toast.js';
import { blank, budgetNames, dialects, faults, limitNames, localInput, reverse, toForm, toPatch, toSpec } from './spec.js';

const spans = ['never', '7', '30', '90', '365', 'date'];

// serverFaults takes the problem's errors apart by field, in the server's words.
const serverFaults = (error) => Object.fromEntries((error?.errors ?? []).map(({ field, code, message }) => [field, message ?? code]));

const say = (code) => (code && has('users.fault.' + code) ? t('users.fault.' + code) : code);

function Expiry({ form, set, bad }) {
  return html`<div class="pairfield"><${Select} label=${t('users.expiry')} value=${form.expiry}
    options=${spans.map((s) => [s, t('users.expiry.' + s)])}
      onChange=${(expiry) => set({ expiry, date: expiry === 'date' && !form.date ? localInput(new Date(Date.now() + 30 * 86400e3)
        .toISOString()) : form.date })} />
    ${form.expiry === 'date' && html`<${Text} type="datetime-local" label=${t('users.expiry.at')} value=${form.date}
      error=${bad('expires_at')}
      onInput=${(date) => set({ date })} />`}</div>`;
}

function Apis({ form, set, bad }) {
  const flip = (d) => set({ dialects: form.dialects.includes(d) ? form.dialects.filter((x) => x !== d) : [...form.dialects, d] });
  return html`<fieldset class="inlinechecks"><legend>${t('users.apis')}</legend>
    ${dialects.map((d) => html`<${Checkbox} key=${d} label=${t('users.dialect.' + d)}
    checked=${form.dialects.includes(d)} onChange=${() => flip(d)} />`)}${bad('dialects') && html`<small class="badtext" role="alert">
      ${bad('dialects')}</small>`}</fieldset>`;
}

function LimitFields({ form, set, bad }) {
  const number = (group, name, mode) => html`<${Text} key=${name} label=${t(`users.limit.${group === 'budget' ? 'budget.' : ''}${name}`)}
    inputmode=${mode}
    value=${form[group][name] ?? ''} placeholder=${t(form.unlimited ? 'users.none.short' : 'users.default')} unit=${group === 'budget'
      ? 'USD' : undefined}
    error=${bad(group === 'budget' ? 'limits.budget.' + name : 'limits.' + name)}
      onInput=${(v) => set({ [group]: { ...form[group], [name]: v.trim() } })} />`;
  return html`<fieldset><legend>${t('users.limits')}</legend><div class="formgrid">
    ${limitNames.map((n) => number('limits', n, 'numeric'))}</div>
    <div class="formgrid">${budgetNames.map((n) => number('budget', n, 'decimal'))}</div>
    <${Checkbox} label=${t('users.unlimited')} help=${t('users.unlimitedHelp')} checked=${form.unlimited}
      onChange=${(unlimited) => set({ unlimited })} />
    ${Object.values(form.budget).some(Boolean) && html`<${Checkbox} label=${t('users.unpriced')} help=${t('users.unpricedHelp')}
      checked=${form.unpriced}
      onChange=${(unpriced) => set({ unpriced })} />`}</fieldset>`;
}

function More({ form, set, bad }) {
  return html`<details class="more"><summary>${t('users.more')}</summary>
    <${Area} label=${t('users.cidrs')} rows=${2} value=${form.cidrs} help=${t('users.cidrsHelp')} error=${bad('cidrs')}
      onInput=${(cidrs) => set({ cidrs })} />
    <${Text} label=${t('users.poolTags')} value=${form.tags} help=${t('users.poolTagsHelp')} error=${bad('tags')}
      onInput=${(tags) => set({ tags })} />
    <${Checkbox} label=${t('users.paidOnly')} help=${t('users.paidOnlyHelp')} checked=${form.paid_only}
      onChange=${(paid_only) => set({ paid_only })} />
    <${Checkbox} label=${t('users.explain')} help=${t('users.explainHelp')} checked=${form.explain}
      onChange=${(explain) => set({ explain })} /></details>`;
}

// UserForm creates a key, several, or edits user. onDone gets the API's answer.
export function UserForm({ user, onClose, onDone }) {
  const start = useRef(user ? toForm(user) : blank()), [form, setForm] = useState(start.current);
  const [wrong, setWrong] = useState({}), [error, setError] = useState(null), [busy, setBusy] = useState(false),
    once = useRef(idempotencyKey());
  const first = useRef();
  useEffect(() => first.current?.querySelector('input')?.focus(), []);
  const set = (part) => setForm((f) => ({ ...f, ...part }));
  const bad = (field) => say(wrong[field]);
  const dirty = JSON.stringify(form) !== JSON.stringify(start.current);
  const close = async () => {
    if (dirty && !(await confirm({ title: t('users.discard'), text: t('users.discardText'), confirm: t('users.discardDo'),
      danger: true }))) return;
    onClose();
  };
  const save = async () => {
    const found = faults(form, Date.now());
    if (user && form.date === start.current.date && form.expiry === 'date') delete found.expires_at;
    setWrong(found);
    if (Object.keys(found).length || busy) return;
    setBusy(true);
    setError(null);
    try {
      if (!user) onDone(await post('keys/user', toSpec(form, Date.now()), { headers: once.current }));
      else await change();
    } catch (e) {
      setError(e);
      setWrong(serverFaults(e));
      setBusy(false);
      once.current = idempotencyKey();
    }
  };
  const change = async () => {
    const body = toPatch(start.current, form, Date.now());
    if (!Object.keys(body).length) return onClose();
    const answer = await patch('keys/user/' + encodeURIComponent(user.id), body);
    onDone(answer);
    undoable(t('users.saved', { name: answer.name }), async () => onDone(await patch('keys/user/' + encodeURIComponent(user.id),
      reverse(user, body))));
    return undefined;
  };
  const count = Number(form.count);
  const footer = html`<${Button} onClick=${close}>${t('cancel')}<//>
    <${Button} kind="primary" type="submit" busy=${busy}>${t(user ? 'users.save' : count > 1 ? 'users.createMany' : 'users.create',
      { n: count })}<//>`;
  return html`<${Dialog} title=${user ? t('users.editTitle', { name: user.name }) : t('users.create')} size="wide" onClose=${close}
    onSubmit=${save} footer=${footer}>
    ${error && html`<${ErrorNote} error=${error} />`}
    ${Object.keys(wrong).length > 1 && html`<${Note} kind="bad">${t('users.fault.sum', { n: Object.keys(wrong).length })}<//>`}
    <div class="userform" ref=${first}><div class="pairfield"><${Text} label=${t('users.name')} maxlength=${128} value=${form.name}
      error=${bad('name')}
        onInput=${(name) => set({ name })} autocomplete="off" required />
      ${!user && html`<${Text} label=${t('users.countField')} inputmode="numeric" value=${form.count} error=${bad('count')}
        help=${t('users.countHelp')}
        onInput=${(v) => set({ count: v.trim() })} />`}</div>
    <${Expiry} form=${form} set=${set} bad=${bad} /><${Apis} form=${form} set=${set} bad=${bad} />
    <${Area} label=${t('users.models')} rows=${2} value=${form.models} help=${t('users.modelsHelp')} error=${bad('models')}
      onInput=${(models) => set({ models })} />
    <${LimitFields} form=${form} set=${set} bad=${bad} />
    <div class="pairfield"><${Text} label=${t('users.labels')} value=${form.labels} help=${t('users.listHelp')} error=${bad('labels')}
      onInput=${(labels) => set({ labels })} />
      <${Text} label=${t('users.note')} value=${form.note} maxlength=${500} error=${bad('note')} onInput=${(note) => set({ note })} /></div>
    <${More} form=${form} set=${set} bad=${bad} /></div><//>`;
}
