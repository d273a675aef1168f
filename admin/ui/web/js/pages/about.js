import { html, useEffect, useState } from '../vendor/preact.mjs';
import { api, root, saveFile } from '../lib/api.js';
import { bytes, full, left, ms, stamp } from '../lib/format.js';
import { has, t } from '../lib/i18n.js';
import { useLoad } from '../lib/load.js';
import { said } from '../lib/servertext.js';
import { session } from '../lib/session.js';
import { Dialog } from '../ui/dialog.js';
import { Ago, Button, Card, Empty, ErrorNote, Facts, Icon, PageHead, Skeleton } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { attempt } from '../ui/toast.js';

await sheet('about');

// sentence: the server's checks begin in lower case, and have spans of whole hours as Go writes them.
const span = (_, hours) => left(hours * 3600_000).replace(/ 0\D+$/, '');
const sentence = (text) => text && text[0].toUpperCase() + text.slice(1).replace(/\b(\d+)h0m0s\b/g, span);

export const title = () => t('nav.about');

const icons = { ok: 'circleCheck', warn: 'alert', bad: 'circleX' };
const rank = { bad: 0, warn: 1, ok: 2 };

const Check = ({ check: c }) => html`<li class=${'check-' + c.status}><${Icon} name=${icons[c.status] ?? 'info'} size=${18} />
  <div><b>${has('about.check.' + c.id) ? t('about.check.' + c.id) : c.id}</b> <span class="word">${has('st.' + c.status)
    ? t('st.' + c.status) : c.status}</span>
    <p>${sentence(said(c.message))}</p>${c.advice && html`<p class="advice">${said(c.advice)}</p>`}</div>
  <small class="num"><${Ago} at=${c.at} />${c.duration_ms !== undefined && html` · ${ms(c.duration_ms)}`}</small></li>`;

function Checks({ items, stale }) {
  const sorted = [...items].sort((a, b) => (rank[a.status] ?? 3) - (rank[b.status] ?? 3)), bad = items.filter((c) => c.status === 'bad')
    .length, warn = items.filter((c) => c.status === 'warn').length;
  const note = bad ? t('about.bad', { n: bad }) : warn ? t('about.warn', { n: warn }) : t('about.fine');
  if (!items.length) return html`<section class="card"><${Empty} icon="about" title=${t('about.none')} /></section>`;
  return html`<${Card} title=${t('about.checks')} note=${note} stale=${stale}><ul class="checklist">
    ${sorted.map((c) => html`<${Check} key=${c.id} check=${c} />`)}</ul><//>`;
}

// figureText formats a figure by what its name ends in.
function figureText(name, value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') {
    if (/_bytes$/.test(name)) return bytes(value);
    if (/uptime_s$|_s$/.test(name)) return left(value * 1000);
    if (/_ms$/.test(name)) return ms(value);
    return full(value);
  }
  return /_at$/.test(name) || name === 'started' ? stamp(value) : typeof value === 'object' ? JSON.stringify(value) : String(value);
}

const Figures = ({ figures }) => html`<${Card} title=${t('about.figures')}><div class="pad14">
  <${Facts} rows=${Object.entries(figures).map(([name, value]) => [
  has('about.figure.' + name) ? t('about.figure.' + name) : name.replaceAll('_', ' '), html`<span class="break">
    ${figureText(name, value)}</span>`])} /></div><//>`;

// Preview shows a text before it is saved: the diagnostics, or the licences.
function Preview({ title: head, text, note, file, type, onClose }) {
  return html`<${Dialog} title=${head} size="wide" onClose=${onClose} footer=${html`<${Button} onClick=${onClose}>${t('close')}<//>
    ${file && html`<${Button} kind="primary" icon="download" onClick=${() => saveFile(text, file, type)}>${t('about.download')}<//>`}`}>
    ${note && html`<p>${note}</p>`}<pre class="preview" tabindex="0" role="region" aria-label=${head}>${text}</pre><//>`;
}

const docs = 'https://github.com/gemini-balance/caddy-gemini-balance';

// useMetrics is where the metrics are: here, if this site serves them, else where it
// is written how to.
function useMetrics() {
  const [at, setAt] = useState(`${docs}/blob/main/docs/observability.md`);
  useEffect(() => {
    const here = new URL('../metrics', root).href;
    fetch(here, { method: 'HEAD' }).then((r) => {
      if (r.ok && /^(text\/plain|application\/openmetrics)/.test(r.headers.get('content-type') ?? '')) setAt(here);
    }, () => {});
  }, []);
  return at;
}

function Links({ onDiagnostics, onLicences, busy }) {
  const metrics = useMetrics();
  const link = (href, icon, text) => html`<li><a href=${href} target="_blank" rel="noreferrer noopener"><${Icon} name=${icon} />
    ${text}</a></li>`;
  return html`<${Card} title=${t('about.more')}><ul class="links">
    <li><button type="button" class="link" aria-busy=${busy ? 'true' : undefined} onClick=${onDiagnostics}><${Icon} name="clipboard" />
      ${t('about.diagnostics')}</button></li>
    ${link(new URL('openapi.json', root).href, 'braces', t('about.openapi'))}
    ${link(metrics, 'overview', t('about.metrics'))}
    ${link(docs + '#readme', 'book', t('about.docs'))}
    <li><button type="button" class="link" onClick=${onLicences}><${Icon} name="file" />${t('about.licences')}</button></li></ul><//>`;
}

export function Page() {
  const { data, error, stale, reload } = useLoad((signal) => api('checks', { signal }), []), [shown, setShown] = useState(null),
    [busy, setBusy] = useState(false);
  // Not disabled meanwhile: the button must keep the focus, to get it back from the dialog.
  const diagnostics = () => busy || attempt(async () => {
    setBusy(true);
    try { setShown({ title: t('about.diagnostics'), note: t('about.diagnosticsText'), text: JSON.stringify(await api('diagnostics'), null,
      2), file: 'gemini-balance-diagnostics.json', type: 'application/json' }); } finally { setBusy(false); }
  });
  const licences = () => attempt(async () => {
    const answer = await fetch(new URL('../vendor/LICENSES.txt', import.meta.url));
    setShown({ title: t('about.licences'), text: await answer.text() });
  });
  const figures = { version: session.value?.version, ...data?.figures };
  return html`<div class="page about"><${PageHead} title=${title()}><${Button} icon="refresh" busy=${stale} onClick=${reload}>
    ${t('about.again')}<//><//>
    ${error && html`<${ErrorNote} error=${error} onRetry=${reload} />`}
    ${!data && !error && html`<${Skeleton} height=${320} />`}
    <div class="aboutcols">${data && html`<${Checks} items=${data.items} stale=${stale} />`}
      <div class="aboutside">${data && html`<${Figures} figures=${figures} />`}<${Links} onDiagnostics=${diagnostics}
        onLicences=${licences} busy=${busy} /></div></div>
    ${shown && html`<${Preview} ...${shown} onClose=${() => setShown(null)} />`}</div>`;
}
