import { html, useEffect, useRef } from '../../vendor/preact.mjs';
import { full, ms, usd } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { Copy, Icon, cls } from '../../ui/parts.js';
import { blocks } from './stream.js';

// Image shows bytes by a data: URL, which the CSP lets pass for images. The type is
// one of those a browser draws without running anything; others are only named.
const shownTypes = /^image\/(png|jpeg|webp|gif)$/;
export const Image = ({ type, data, alt }) => (shownTypes.test(type)
  ? html`<img class="playimage" src=${`data:${type};base64,${data}`} alt=${alt} />` : html`<p class="dim">${type}</p>`);

// Answer is text only: fences become code blocks, nothing becomes markup.
export const Answer = ({ text }) => blocks(text).map((b, i) => (b.code
  ? html`<div class="fence" key=${i}><header><small>${b.lang || t('playground.code')}</small><${Copy} text=${b.text} /></header>
    <pre tabindex="0"><code>${b.text}</code></pre></div>`
  : html`<p class="prose" key=${i}>${b.text}</p>`));

// Facts: tokens, time to the first one, speed, who served.
function Served({ state }) {
  const { reply, facts, times } = state, usage = reply.usage, first = times.first === null ? null : times.first - times.start;
  const seconds = times.end !== null && times.first !== null ? (times.end - times.first) / 1000 : 0;
  const parts = [
    first !== null && [t('playground.first'), ms(first)],
    times.end !== null && [t('playground.total'), ms(times.end - times.start)],
    usage && [t('playground.tokens'), `${full(usage.input ?? 0)} → ${full(usage.output ?? 0)}`],
    usage?.thoughts > 0 && [t('playground.thoughts'), full(usage.thoughts)],
    usage?.output > 0 && seconds > 0.05 && [t('playground.speed'), (usage.output / seconds).toFixed(1)],
    facts?.model && [t('playground.used'), facts.model],
    facts?.attempts > 0 && [t('playground.attempts'), full(facts.attempts)],
    facts?.cost > 0 && [t('playground.cost'), usd(facts.cost)],
    facts?.key && [t('playground.key'), html`<a class="inline" href=${href('/keys', { id: facts.key })}>${facts.hint || facts.key}</a>`],
  ].filter(Boolean);
  return html`<ul class="served">${parts.map(([name, value]) => html`<li key=${name}>${name} <b>${value}</b></li>`)}
    ${facts?.requestId && times.end !== null && html`<li><a class="inline" href=${href('/requests', { id: facts.requestId })}>
      ${t('playground.log')}</a></li>`}</ul>`;
}

function Reply({ state, running }) {
  const { reply, stopped, facts } = state;
  return html`<article class=${cls('turn', 'model', running && 'running')} aria-label=${t('playground.answer')} aria-busy=${running
    ? 'true' : 'false'}>
    ${reply.thought && html`<details class="thought"><summary>${t('playground.thinking.show')}</summary><p class="prose">
      ${reply.thought}</p></details>`}
    <${Answer} text=${reply.text} />
    ${reply.images.map((image, i) => html`<${Image} key=${i} ...${image} alt=${t('playground.imageOut')} />`)}
    ${running && html`<span class="caret" aria-hidden="true"></span>`}
    ${reply.error && html`<div class="note note-bad" role="alert"><${Icon} name="alert" /><div><b>${facts?.status >= 400 ? facts.status
      : ''} ${reply.error.code}</b>
      <span class="break">${reply.error.message}</span>${facts?.retryAfter > 0
        && html`<small>${t('playground.retryAfter', { t: ms(facts.retryAfter * 1000) })}</small>`}</div></div>`}
    ${stopped && html`<p class="dim">${t('playground.stopped')}</p>`}
    ${!running && reply.end && !/^(stop|end_turn|STOP)$/.test(reply.end) && html`<p class="warn">
      ${t('playground.ended', { reason: reply.end })}</p>`}
    <${Served} state=${state} /></article>`;
}

// Chat is one conversation: turns [{role: 'user', text, images} | {role: 'model', state}].
export function Chat({ turns, running, label, empty }) {
  const box = useRef(), follow = useRef(true);
  useEffect(() => {
    const el = box.current;
    if (el && follow.current) el.scrollTop = el.scrollHeight;
  });
  const scrolled = () => { const el = box.current; follow.current = el.scrollHeight - el.scrollTop - el.clientHeight < 40; };
  return html`<div class="chat" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-label=${label}>
    ${turns.length === 0 && empty}
    ${turns.map((turn, i) => (turn.role === 'user'
    ? html`<article class="turn user" key=${i} aria-label=${t('playground.you')}>
      ${turn.images?.map((image, j) => html`<${Image} key=${j} ...${image} alt=${image.name || t('playground.imageIn')} />`)}
        <p class="prose">${turn.text}</p></article>`
    : html`<${Reply} key=${i} state=${turn.state} running=${running && i === turns.length - 1} />`))}</div>`;
}
