import { html } from '../../vendor/preact.mjs';
import { full, ms } from '../../lib/format.js';
import { href } from '../../lib/route.js';
import { has, t } from '../../lib/i18n.js';
import { phases, spans } from './phases.js';

const good = (attempt) => attempt.status >= 200 && attempt.status < 400;

// Attempts: one bar per try on the time axis of the whole request, with the gaps
// (waiting for a key) left open.
export function Attempts({ tries, whole }) {
  if (!tries?.length) return html`<p class="dim">${t('requests.noTries')}</p>`;
  const at = spans(tries, whole);
  return html`<ol class="tries">${tries.map((a, i) => html`<li key=${i} class=${good(a) ? 'good' : 'bad'}>
    <span class="trace" aria-hidden="true"><i style=${{ insetInlineStart: `${at[i].left}%`, width: `${at[i].width}%` }}></i></span>
    <span class="tryline"><b>${i + 1}</b> <a class="mono" href=${href('/keys', { id: a.key_id })}>${a.hint || a.key_id}</a>
      ${a.project && a.project !== a.key_id && html`<small>${a.project}</small>`}<span class="grow"></span>
      <span class=${'code ' + (good(a) ? 'oktext' : 'badtext')}>${a.status || t('requests.noAnswer')}</span></span>
    <small class="tryline"><span>${a.reason || verdict(a.verdict)}</span><span class="grow"></span>
      <span class="num">${t('requests.tryTime', { at: ms(a.started_ms), d: ms(a.duration_ms) })}</span></small></li>`)}</ol>`;
}

const verdict = (word) => (has('verdict.' + word) ? t('verdict.' + word) : word ?? '');

export function Timing({ request }) {
  const parts = phases(request);
  return html`<div class="timing"><div class="segbar" aria-hidden="true">${parts.map(([name, n]) =>
    html`<i key=${name} class=${'p-' + name} style=${{ flexGrow: n }}></i>`)}</div>
    <ul>${parts.map(([name, n]) => html`<li key=${name}><i class=${'p-' + name}></i>${t('requests.phase.' + name)} <b>${ms(n)}</b>
      </li>`)}</ul></div>`;
}

const kinds = ['input', 'cached', 'thoughts', 'output', 'tool_use'];

// Tokens: cached is a part of input, so the bar shows the rest of input beside it.
export function Tokens({ tokens }) {
  const fresh = { ...tokens, input: Math.max(0, tokens.input - (tokens.cached ?? 0)) };
  const shown = kinds.filter((kind) => fresh[kind] > 0);
  if (!shown.length) return html`<p class="dim">${t('requests.noTokens')}</p>`;
  return html`<div class="timing"><div class="segbar" aria-hidden="true">${shown.map((kind) =>
    html`<i key=${kind} class=${'t-' + kind} style=${{ flexGrow: fresh[kind] }}></i>`)}</div>
    <ul>${shown.map((kind) => html`<li key=${kind}><i class=${'t-' + kind}></i>${t('requests.tokens.' + kind)} <b>${full(fresh[kind])}</b>
      </li>`)}</ul></div>`;
}
