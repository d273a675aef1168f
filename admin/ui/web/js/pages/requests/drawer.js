import { html, useEffect, useState } from '../../vendor/preact.mjs';
import { api, post } from '../../lib/api.js';
import { full, ms, stamp, usd } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { isAdmin } from '../../lib/session.js';
import { Drawer } from '../../ui/drawer.js';
import { Copy, ErrorNote, Facts, Go, LinkButton, Note, Skeleton } from '../../ui/parts.js';
import { attempt, undoable } from '../../ui/toast.js';
import { gateway } from '../playground/base.js';
import { asCurl } from '../playground/snippets.js';
import { Outcome, modelText, userText } from './cells.js';
import { phases } from './phases.js';
import { Attempts, Timing, Tokens } from './timeline.js';

// pretty shows JSON indented and everything else as it is; always text.
export function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function Bodies({ bodies }) {
  return html`<${Note} kind="bad">${t(bodies.cut ? 'requests.bodies.cut' : 'requests.bodies.on')}<//>
    ${['request', 'response'].map((side) => bodies[side] && html`<h3 key=${side}>${t('requests.bodies.' + side)}</h3>
      <pre class="rawtext" tabindex="0" role="region" aria-label=${t('requests.bodies.' + side)}>${pretty(bodies[side])}</pre>`)}`;
}

const disableKey = (id, hint) => attempt(async () => {
  await post(`keys/gemini/${id}/disable`);
  undoable(t('requests.keyDisabled', { key: hint || id }), () => post(`keys/gemini/${id}/enable`));
});

function Actions({ request, onFilter }) {
  return html`<div class="actions wrap">
    <${Copy} kind="" text=${() => asCurl(gateway, request)}>${t('requests.curl')}<//>
    <${Copy} kind="" text=${request.id}>${t('requests.copyId')}<//>
    ${request.key_id && html`<${Go} to="/keys" query=${{ id: request.key_id }} icon="key">${t('requests.openKey')}<//>`}
    ${request.key_id && isAdmin.value && html`<${LinkButton} onClick=${() => disableKey(request.key_id, request.key_hint)}>
      ${t('requests.disableKey')}<//>`}
    ${request.key_id && html`<${LinkButton} onClick=${() => onFilter({ key: request.key_id })}>${t('requests.neighbours')}<//>`}
  </div>`;
}

function Facts1({ r }) {
  const cost = r.cost_nano === null || r.cost_nano === undefined
    ? html`<span class="dim">${t('requests.noPrice')}</span>` : html`${usd(r.cost_nano)} ${r.price && html`<small>${r.price}</small>`}`;
  return html`<${Facts} rows=${[
    [t('requests.time'), stamp(r.at)],
    [t('requests.model'), html`<span class="mono">${modelText(r)}</span>`],
    r.version && r.version !== r.model && [t('requests.version'), html`<span class="mono">${r.version}</span>`],
    [t('requests.dialect'), `${t('requests.dialect.' + r.dialect)} · ${r.endpoint}${r.stream ? ` · ${t('requests.streamed')}` : ''}`],
    [t('requests.user'), r.user_id && r.user_id !== 'playground'
      ? html`<a class="inline" href=${href('/users', { id: r.user_id })}>${userText(r)}</a>` : userText(r) || t('requests.anonymous')],
    [t('requests.cost'), html`${cost}${r.estimated && html` <span class="tag">${t('requests.estimated')}</span>`}`],
    [t('requests.ip'), r.ip || '–'],
    [t('requests.agent'), html`<span class="break">${r.agent || '–'}</span>`],
    [t('requests.id'), html`<code class="break">${r.id}</code>`],
  ]} />`;
}

function Details({ r, onFilter }) {
  return html`<p class="statusline"><${Outcome} request=${r} />
      <span class="num">${ms(r.duration_ms)}</span>${r.partial && html`<span class="tag">${t('requests.partial')}</span>`}</p>
    ${r.error && html`<pre class="rawtext err" tabindex="0" role="region" aria-label=${t('requests.error')}>${pretty(r.error)}</pre>`}
    <${Actions} request=${r} onFilter=${onFilter} />
    <h3>${t('requests.attempts.title', { n: r.attempts })}</h3><${Attempts} tries=${r.tries} whole=${r.duration_ms} />
    ${phases(r).length > 0 && html`<h3>${t('requests.timing')}</h3><${Timing} request=${r} />`}
    <h3>${t('requests.tokens')} <small>${full(r.tokens.input + r.tokens.output + r.tokens.thoughts)}</small></h3>
      <${Tokens} tokens=${r.tokens} />
    <h3>${t('requests.details')}</h3><${Facts1} r=${r} />
    ${r.bodies && html`<${Bodies} bodies=${r.bodies} />`}`;
}

// RequestDrawer shows one request; brief is the row of the list, shown until the
// whole of it is here. onFilter narrows the list behind it.
export function RequestDrawer({ id, brief, onClose, onFilter }) {
  const [request, setRequest] = useState(null), [error, setError] = useState(null), [again, setAgain] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    setRequest(null);
    setError(null);
    api('requests/' + encodeURIComponent(id), { signal: abort.signal }).then(setRequest, (e) => e.name === 'AbortError' || setError(e));
    return () => abort.abort();
  }, [id, again]);
  const r = request ?? brief;
  return html`<${Drawer} wide title=${t('requests.one')} subtitle=${html`<code>${id}</code>`} onClose=${onClose}>
    ${error && html`<${ErrorNote} error=${error} onRetry=${() => setAgain(again + 1)} />`}
    ${r ? html`<${Details} r=${r} onFilter=${onFilter} />` : !error && html`<${Skeleton} height=${320} />`}
  <//>`;
}
