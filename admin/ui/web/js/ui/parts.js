import { html, useEffect, useRef, useState } from '../vendor/preact.mjs';
import icons from '../vendor/icons.js';
import { now, skew } from '../lib/clock.js';
import { ago, change, full, left, stamp } from '../lib/format.js';
import { has, t } from '../lib/i18n.js';
import { href } from '../lib/route.js';
import { saidProblem } from '../lib/servertext.js';

export const cls = (...names) => names.filter(Boolean).join(' ') || undefined;

// Icon: decorative; an icon alone in a control needs the control's label.
export const Icon = ({ name, size = 16, class: extra }) => html`
  <svg class=${cls('icon', extra)} width=${size} height=${size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
    ${icons[name].map(([Tag, attributes]) => html`<${Tag} ...${attributes} />`)}
  </svg>`;

// Button: kind '', 'primary', 'danger', 'quiet', 'ghost'. Without children it is
// square and label names it. busy keeps it pressed and dead.
export const Button = ({ icon, children, kind, label, busy, disabled, class: extra, type = 'button', ...rest }) => html`
  <button type=${type} class=${cls('btn', kind, !children && 'btn-icon', extra)} aria-label=${label} title=${rest.title ?? label}
    aria-busy=${busy ? 'true' : undefined} disabled=${disabled || busy} ...${rest}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}
  </button>`;

// LinkButton looks like a link and acts; Go is a link that looks like a button.
export const LinkButton = ({ children, ...rest }) => html`<button type="button" class="link" ...${rest}>${children}</button>`;
export const Go = ({ to, query, icon, kind, children }) => html`
  <a class=${cls('btn', kind)} href=${href(to, query)}>${icon && html`<${Icon} name=${icon} />`}<span>${children}</span></a>`;

// Countdown: the time left until a moment, ticking; "recovering" once it is over.
export function Countdown({ until }) {
  const span = Date.parse(until) - (now.value + skew.value);
  return html`<time datetime=${until} title=${stamp(until)}>${span > 0 ? left(span) : t('recovering')}</time>`;
}

// Ago: "3m ago", with the full stamp in its title.
export const Ago = ({ at }) => (at
  ? html`<time datetime=${at} title=${stamp(at)}>${ago(at, now.value + skew.value)}</time>`
  : html`<span class="dim">${t('never')}</span>`);

const withTimer = new Set(['cooling', 'exhausted']);

// Status: shape, colour and word of a state; texts are `st.<status>`.
export const Status = ({ status, until, reason }) => html`
  <span class=${'status s-' + status} title=${reason || undefined}>
    <i></i>${has('st.' + status) ? t('st.' + status) : status}
    ${until && withTimer.has(status) && html`<small><${Countdown} until=${until} /></small>`}
  </span>`;

// Spark: one bar per hour. Decorative; the figure beside it is the text.
export function Spark({ values, width = 96, height = 22 }) {
  if (!values?.some((v) => v > 0)) return html`<span class="spark dim">–</span>`;
  const max = Math.max(...values);
  const step = width / values.length;
  const bar = (v, i) => {
    const h = v > 0 ? Math.max(1.5, (v / max) * (height - 2)) : 0;
    return h && `M${(i * step + 0.5).toFixed(1)} ${height}v${-h.toFixed(1)}h${(step - 1).toFixed(1)}v${h.toFixed(1)}z`;
  };
  return html`
    <svg class="spark" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <path d=${values.map(bar).filter(Boolean).join('')} />
    </svg>`;
}

// Line: a sparkline that fills its box. min fixes the floor.
export function Line({ values, width = 120, height = 28, min }) {
  const known = values?.filter((v) => v !== null && !Number.isNaN(v)) ?? [];
  if (known.length < 2) return html`<svg class="line" width=${width} height=${height} aria-hidden="true"></svg>`;
  const low = Math.min(min ?? Infinity, ...known);
  const high = Math.max(...known);
  const y = (v) => (height - 3 - ((v - low) / (high - low || 1)) * (height - 6)).toFixed(1);
  const points = known.map((v, i) => `${((i / (known.length - 1)) * width).toFixed(1)},${y(v)}`).join(' ');
  return html`
    <svg class="line" viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
      <path d=${`M0 ${height} L${points} L${width} ${height}z`} />
      <polyline points=${points} vector-effect="non-scaling-stroke" />
    </svg>`;
}

// Meter: a share from 0 to 1 of a limit.
export function Meter({ value, label }) {
  const share = Math.min(1, Math.max(0, value || 0));
  const heat = share > 0.9 ? 'hot' : share > 0.7 ? 'warm' : undefined;
  return html`
    <span class="meter" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}>
      <i class=${heat} style=${{ width: share * 100 + '%' }}></i>
    </span>`;
}

// Segmented: one of a few values. options: [[value, text]].
export function Segmented({ label, value, options, onChange }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const i = (options.findIndex(([v]) => v === value) + step + options.length) % options.length;
    onChange(options[i][0]);
    event.currentTarget.parentNode.children[i].focus();
  };
  return html`
    <div class="seg" role="radiogroup" aria-label=${label}>
      ${options.map(([v, text]) => html`
        <button type="button" role="radio" key=${v} aria-checked=${v === value ? 'true' : 'false'} tabindex=${v === value ? 0 : -1}
          onClick=${() => onChange(v)} onKeyDown=${move}>${text}</button>`)}
    </div>`;
}

export const Tag = ({ children }) => html`<span class="tag">${children}</span>`;
export const Tags = ({ tags }) => tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`);
export const Kbd = ({ keys }) => keys.split(' ').map((k) => html`<kbd>${k}</kbd>`);

// Delta: change of a figure against before. up: is more better (true), worse (false), neither (null).
export function Delta({ value, before, share, up = null, title }) {
  const { text, sign } = change(value, before, share);
  const mood = up === null || sign === 0 ? undefined : (sign > 0) === up ? 'good' : 'bad';
  return html`<span class=${cls('delta', mood)} title=${title}>${text}</span>`;
}

// Card: a titled box. actions stand at the end of its head.
export const Card = ({ title, note, actions, class: extra, children, stale }) => html`
  <section class=${cls('card', extra, stale && 'stale')} aria-busy=${stale ? 'true' : undefined}>
    ${title && html`<header><h2>${title} ${note && html`<small>${note}</small>`}</h2><span class="grow"></span>${actions}</header>`}
    ${children}
  </section>`;

// PageHead: the page's h1 and its actions.
export const PageHead = ({ title, note, children }) => html`
  <header class="pagehead"><h1>${title}${note && html` <small>${note}</small>`}</h1><div class="actions">${children}</div></header>`;

// Skeleton shows after 150 ms only, so that quick answers do not flicker.
export function Skeleton({ height = 120 }) {
  const [shown, show] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => show(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return html`<div class=${cls('card', shown && 'skeleton')} style=${{ minHeight: height + 'px' }} aria-hidden="true"></div>`;
}

// Empty: nothing yet (explain, first action) or no match (clear filters).
export const Empty = ({ icon = 'search', title, text, children }) => html`
  <div class="empty"><${Icon} name=${icon} size=${28} /><h2>${title}</h2>${text && html`<p>${text}</p>`}
    <div class="actions">${children}</div></div>`;

// explain is what to tell about a failed call.
export function explain(error) {
  if (error.status === 0) return t('err.network');
  if (error.code && has('problem.' + error.code)) return t('problem.' + error.code);
  return saidProblem(error.code, error.detail || error.title || error.message);
}

// ErrorNote: what failed, the status, the request id, and Retry.
export const ErrorNote = ({ error, onRetry, title }) => html`
  <div class="note note-bad" role="alert"><${Icon} name="alert" />
    <div><b>${title ?? t('err.failed')}</b> <span>${explain(error)}</span>
      <small>${error.status ? `HTTP ${error.status}` : error.status === 0 && t('err.offline')}${error.requestId && html` · <code>
        ${error.requestId}</code>`}</small></div>
    ${onRetry && html`<${Button} icon="refresh" onClick=${onRetry}>${t('retry')}<//>`}
  </div>`;

// Note: a remark with an icon. kind: 'info', 'warn', 'bad', 'ok'.
const noteIcons = { info: 'info', warn: 'alert', bad: 'alert', ok: 'circleCheck' };
export const Note = ({ kind = 'info', children, actions }) => html`
  <div class=${'note note-' + kind}><${Icon} name=${noteIcons[kind]} /><div>${children}</div>${actions}</div>`;

// Facts: a list of terms and values. rows: [[term, value]]; null rows are left out.
export const Facts = ({ rows }) => html`
  <dl class="kv">${rows.filter(Boolean).map(([term, value]) => html`<dt>${term}</dt><dd>${value}</dd>`)}</dl>`;

// copyText puts text on the clipboard: by the API, else (plain HTTP) by a selected field.
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { /* not a secure context, or refused */ }
  const field = document.createElement('textarea');
  field.value = text;
  field.readOnly = true;
  field.className = 'sr';
  (document.querySelector('dialog[open]') ?? document.body).append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}

// Copy: a button that copies text and says so in a live region.
export function Copy({ text, label, kind = 'ghost', children }) {
  const [done, setDone] = useState(null);
  const timer = useRef();
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    setDone(await copyText(typeof text === 'function' ? await text() : text));
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setDone(null), 2000);
  };
  const said = done === null ? '' : t(done ? 'copied' : 'copy.failed');
  return html`<${Button} icon=${done ? 'check' : 'copy'} kind=${kind} label=${children ? undefined : label ?? t('copy')} onClick=${copy}>
    ${children}<//><span class="sr" role="status">${said}</span>`;
}

// Secret: a value shown once, with Copy. It is marked so that tests can prove
// that it leaves the DOM with the dialog; it clears itself after `clear` ms.
export function Secret({ value, label, clear = 0 }) {
  const [shown, setShown] = useState(value);
  useEffect(() => {
    setShown(value);
    if (!clear) return undefined;
    const timer = setTimeout(() => setShown(''), clear);
    return () => clearTimeout(timer);
  }, [value, clear]);
  if (!shown) return html`<p class="dim">${t('secret.cleared')}</p>`;
  return html`<div class="secret" data-secret="true"><code aria-label=${label}>${shown}</code><${Copy} text=${shown} kind="">${t('copy')}
    <//></div>`;
}

// SegBar: parts of a whole in one bar. parts: [[name, count]], coloured by .b-<name>.
export const SegBar = ({ parts }) => html`
  <div class="segbar" aria-hidden="true">
    ${parts.map(([name, n]) => n > 0 && html`<i key=${name} class=${'b-' + name} style=${{ flexGrow: n }}></i>`)}
  </div>`;

// Tabs: a filter over a list with counts. options: [{ value, text, count, mark }];
// mark colours a square as .b-<mark>.
export const Tabs = ({ label, value, options, onChange }) => html`
  <nav class="tabs" aria-label=${label}>
    ${options.map((o) => html`
      <button type="button" key=${o.value} aria-pressed=${o.value === value ? 'true' : 'false'} onClick=${() => onChange(o.value)}>
        ${o.mark && html`<i class=${'b-' + o.mark}></i>`}${o.text} <span>${o.count === undefined ? '–' : full(o.count)}</span></button>`)}
  </nav>`;
