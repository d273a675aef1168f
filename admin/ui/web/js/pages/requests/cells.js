import { html } from '../../vendor/preact.mjs';
import { clock, full, ms, short, stamp, usd } from '../../lib/format.js';
import { has, t } from '../../lib/i18n.js';
import { Icon } from '../../ui/parts.js';

// modelText is "asked → used", or one name when they are the same.
export const modelText = (r) => (r.asked && r.model && r.asked !== r.model ? `${r.asked} → ${r.model}` : r.model || r.asked || '–');

// Outcome: shape, colour, code and word of a request's end.
export const Outcome = ({ request: r }) => html`<span class=${'outcome o-' + r.class}><i></i><b class="num">${r.status || '–'}</b>
  <span title=${[outcomeText(r), r.code].filter(Boolean).join(' · ')}>${outcomeText(r)}</span></span>`;

const outcomeText = (r) => {
  if (has('requests.outcome.' + r.outcome)) return t('requests.outcome.' + r.outcome);
  return has('requests.class.' + r.class) ? t('requests.class.' + r.class) : r.outcome;
};

// userText is the user key's name; the playground's keys have none.
export const userText = (r) => (r.user_id === 'playground' ? t('requests.playground') : r.user_name || r.user_id);

const Model = ({ r }) => (r.asked && r.asked !== r.model
  ? html`<span class="dim">${r.asked}</span> <${Icon} name="arrowRight" size=${11} /> ${r.model}` : r.model || '–');

const kinds = ['input', 'cached', 'thoughts', 'output'];
const tokensText = (r) => kinds.map((kind) => `${t('requests.tokens.' + kind)} ${full(r.tokens[kind])}`).join(', ');

// Tokens: in (of it cached) / thinking + out.
const Tokens = ({ r: { tokens: { input, cached, output, thoughts } } }) => html`${short(input)}${cached > 0
  && html` <small>(${short(cached)})</small>`}
  ${' / '}${thoughts > 0 && html`<small>${short(thoughts)} +</small> `}${short(output)}`;

// columnsFor gives the log's columns for VTable; area is the place in a narrow card.
export const columnsFor = () => [
  { id: 'at', width: 84, fixed: true, area: 'b', cell: (r) => html`<time datetime=${r.at}>${clock(r.at)}</time>`, title: (r) =>
    stamp(r.at) },
  { id: 'status', width: 150, fixed: true, area: 'c', cell: (r) => html`<${Outcome} request=${r} />` },
  { id: 'model', width: 172, fixed: true, area: 'a', cell: (r) => html`<span class="mono"><${Model} r=${r} /></span>`, title: modelText },
  { id: 'dialect', width: 82, cell: (r) => t('requests.dialect.' + r.dialect), title: (r) => r.endpoint },
  { id: 'user', width: 92, cell: (r) => userText(r) || html`<span class="dim">${t('requests.anonymous')}</span>`,
    title: userText },
  { id: 'key', width: 96, cell: (r) => html`<span class="mono">${r.key_hint || r.key_id || '–'}</span>`, title: (r) => r.key_id },
  { id: 'stream', width: 72, cell: (r) => (r.stream ? t('requests.yes') : html`<span class="dim">${t('requests.no')}</span>`) },
  { id: 'attempts', width: 58, num: true, cell: (r) => (r.attempts > 1 ? html`<b class="warn">${r.attempts}</b>` : r.attempts) },
  { id: 'ttft', width: 84, num: true, cell: (r) => ms(r.ttft_ms) },
  { id: 'duration', width: 70, num: true, area: 'd', cell: (r) => ms(r.duration_ms) },
  { id: 'tokens', width: 126, num: true, cell: (r) => html`<${Tokens} r=${r} />`, title: tokensText },
  { id: 'cost', width: 96, num: true, cell: (r) => usd(r.cost_nano), title: (r) => r.price },
  { id: 'ip', width: 120, cell: (r) => html`<span class="mono">${r.ip || '–'}</span>` },
].map((c) => ({ ...c, sort: false, label: t('requests.col.' + c.id) }));

// What is shown at first: the API has a column of its own where there is room.
const usual = ['at', 'status', 'model', 'user', 'key', 'attempts', 'ttft', 'duration', 'tokens'];
export const defaults = globalThis.innerWidth >= 1500 ? [...usual, 'dialect', 'cost'] : usual;
