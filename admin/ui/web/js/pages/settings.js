import { html, useLayoutEffect, useRef, useState } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { guardLeaving, href, route } from '../lib/route.js';
import { isAdmin } from '../lib/session.js';
import { confirm } from '../ui/dialog.js';
import { Button, ErrorNote, LinkButton, Note, PageHead, Skeleton } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { useConfig } from './settings/config.js';
import { SettingField, labelOf } from './settings/field.js';
import { Appearance, Audit, Backup, Deleted, Security } from './settings/panels.js';
import { Conflict, Review } from './settings/review.js';
import { panels, sectionsOf } from './settings/sections.js';

await sheet('settings');

export const title = () => t('nav.settings');

const panelOf = { appearance: Appearance, backup: Backup, deleted: Deleted, audit: Audit };

function SectionNav({ ids, current, config, sections }) {
  const count = (id) => sections.find(([x]) => x === id)?.[1].filter((name) => name in config.draft || config.faults[name]).length ?? 0;
  const nav = useRef();
  useLayoutEffect(() => { nav.current.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' }); }, [current]);
  return html`<nav class="sections" aria-label=${t('settings.sections')} ref=${nav}><ul>${ids.map((id) => html`<li key=${id}>
    <a href=${href('/settings', { section: id })} aria-current=${id === current ? 'true' : undefined}>${t('settings.section.' + id)}
      ${count(id) > 0 && html`<span class="badge" title=${t('settings.changes', { n: count(id) })}>${count(id)}</span>`}</a></li>`)}</ul>
        </nav>`;
}

function SaveBar({ config, onReview }) {
  const n = config.changes.length, wrong = Object.keys(config.faults).length;
  if (!n && !wrong) return null;
  return html`<div class="savebar" role="region" aria-label=${t('settings.changes', { n })}><b role="status">
    ${t('settings.changes', { n })}</b>
    ${wrong > 0 && html`<span class="badtext">${t('settings.wrong', { n: wrong })}</span>`}<span class="grow"></span>
    <${Button} kind="ghost" onClick=${config.discard}>${t('settings.discard')}<//>
    <${Button} disabled=${!n || wrong > 0} onClick=${onReview}>${t('settings.review')}<//>
    <${Button} kind="primary" disabled=${!n || wrong > 0} busy=${config.busy} onClick=${config.save}>${t('save')}<//></div>`;
}

// Faults sums up at the top what is wrong; a link leads to the field.
function Faults({ config }) {
  const names = Object.keys(config.faults);
  if (!names.length) return null;
  const go = (name) => () => /** @type {HTMLElement | null | undefined} */ (
    document.getElementById('setting-' + name)?.querySelector('input, select'))?.focus();
  return html`<${Note} kind="bad">${t('settings.wrong', { n: names.length })} ${names.map((name) => html`<${LinkButton} key=${name}
    onClick=${go(name)}>${labelOf(name)}<//> `)}<//>`;
}

// useLeaveWarning asks before changes are lost, by a link here or by closing the tab.
// It does and ceases to as soon as the page shows changes, not a frame later.
function useLeaveWarning(dirty) {
  useLayoutEffect(() => {
    if (!dirty) return undefined;
    const release = guardLeaving(() => confirm({ title: t('settings.leave'), text: t('settings.leaveText'),
      confirm: t('settings.leaveDo'), danger: true }));
    const closing = (event) => event.preventDefault();
    addEventListener('beforeunload', closing);
    return () => { release(); removeEventListener('beforeunload', closing); };
  }, [dirty]);
}

function Section({ id, names, config }) {
  const Panel = panelOf[id];
  return html`<section class="card settingcard" aria-label=${t('settings.section.' + id)}><header><h2>${t('settings.section.' + id)}</h2>
    </header>
    <div class="fields">${names.map((name) => html`<${SettingField} key=${name} name=${name} field=${config.fields[name]}
      draft=${config.draft}
      fault=${config.faults[name]} onPut=${config.set} onFault=${config.fail} onServer=${config.adopt} />`)}
      ${id === 'security' && html`<${Security} />`}${Panel && html`<${Panel} config=${config} />`}</div></section>`;
}

export function Page() {
  const config = useConfig(), [review, setReview] = useState(false);
  const dirty = config.changes.length > 0;
  useLeaveWarning(dirty);
  const wanted = route.value.q.get('section');
  if (!config.fields) {
    return html`<div class="page"><${PageHead} title=${title()} />${config.error ? html`<${ErrorNote} error=${config.error}
      onRetry=${config.load} />` : html`<${Skeleton} height=${420} />`}</div>`;
  }
  const sections = sectionsOf(config.fields), ids = [...sections.map(([id]) => id), ...panels];
  const current = ids.includes(wanted) ? wanted : ids[0], names = sections.find(([id]) => id === current)?.[1] ?? [];
  const save = async () => { if (await config.save()) setReview(false); };
  return html`<div class="page settings"><${PageHead} title=${title()} />
    ${!isAdmin.value && html`<${Note} kind="info">${t('readOnly')}<//>`}
    <div class="settingsbody"><${SectionNav} ids=${ids} current=${current} config=${config} sections=${sections} />
      <div class="settingsmain"><${Faults} config=${config} />
        ${config.error && !review && html`<${ErrorNote} error=${config.error} />`}
        <${Section} key=${current} id=${current} names=${names} config=${config} /></div></div>
    <${SaveBar} config=${config} onReview=${() => setReview(true)} />
    ${review && !config.conflicts && dirty && html`<${Review} fields=${config.fields} changes=${config.changes} busy=${config.busy}
      error=${config.error}
      onSave=${save} onClose=${() => setReview(false)} />`}
    ${config.conflicts && html`<${Conflict} fields=${config.fields} conflicts=${config.conflicts} onClose=${config.giveUp}
      onResolve=${(choices) => { setReview(false); config.settle(choices); }} />`}</div>`;
}
