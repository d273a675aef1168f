import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { usd } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { dollars } from '../../lib/money.js';
import { href } from '../../lib/route.js';
import { isAdmin } from '../../lib/session.js';
import { Select, problemsByField } from '../../ui/form.js';
import { Facts, LinkButton, explain } from '../../ui/parts.js';
import { undoable } from '../../ui/toast.js';
import { Thinking, Typed } from './fields.js';
import { priceOf, readLimit, readPrice, readSeconds, thinkingHelp } from './options.js';

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// useSaving saves a part of a model at once, with Undo. wrong has what the server did
// not take, by the names of fields.
export function useSaving(model, models) {
  const [wrong, setWrong] = useState({}), underWay = useRef(0);
  useEffect(() => setWrong({}), [model.id]);
  const save = async (part, before, what) => {
    const [field] = Object.keys(part);
    const fail = (faults) => setWrong((w) => ({ ...Object.fromEntries(Object.entries(w).filter(([k]) => !k.startsWith(field))), ...faults }));
    // While another change is under way, before may be what the server had before it.
    if (same(part, before) && !underWay.current) { fail({}); return; }
    underWay.current += 1;
    try {
      await models.change(model.id, part);
      fail({});
      undoable(t('models.saved', { what }), () => models.change(model.id, before));
    } catch (error) {
      const faults = problemsByField(error);
      fail(Object.keys(faults).length ? faults : { [field]: explain(error) });
    } finally { underWay.current -= 1; }
  };
  return { wrong, save };
}

const safeties = ['off', 'block_none', 'block_only_high', 'block_medium_and_above', 'block_low_and_above'];

// Defaults: what requests get that say nothing of it themselves.
export function Defaults({ model, saving: { wrong, save } }) {
  const [thinking, setThinking] = useState(model.thinking_budget);
  useEffect(() => setThinking(model.thinking_budget), [model.id, model.thinking_budget]);
  const put = (field, value, what) => save({ [field]: value }, { [field]: model[field] }, what);
  const think = (budget) => {
    setThinking(budget);
    if (!Number.isNaN(budget)) put('thinking_budget', budget, t('models.thinking'));
  };
  const [takes, figures] = thinkingHelp(model.thinking);
  return html`<h3>${t('models.defaults')}</h3><p class="dim">${t('models.defaultsHelp')}</p><div class="fields">
    <${Thinking} value=${thinking} help=${t('models.takes.' + takes, figures)} disabled=${!isAdmin.value || !model.thinking}
      error=${wrong.thinking_budget} onChange=${think} />
    <${Select} label=${t('models.safety')} help=${t('models.safetyHelp')} value=${model.safety ?? ''} disabled=${!isAdmin.value}
      options=${[['', t('models.safety.unset')], ...safeties.map((s) => [s, `${t('models.safety.' + s)} (${s.toUpperCase()})`])]}
      error=${wrong.safety} onChange=${(s) => put('safety', s || null, t('models.safety'))} />
    <${Typed} label=${t('models.first')} unit=${t('models.seconds')} value=${model.first_output_ms} show=${(n) => String(n / 1000)}
      read=${readSeconds} fault=${t('models.firstFault')} error=${wrong.first_output_ms} disabled=${!isAdmin.value}
      help=${html`${t('models.firstHelp')} <a href=${href('/settings', { section: 'timeouts' })}>${t('models.firstLink')}</a>`}
      onKeep=${(n) => put('first_output_ms', n, t('models.first'))} /></div>`;
}

const perMillion = (nano) => (nano === undefined || nano === null || nano < 0 ? '–' : t('models.perMillion', { usd: usd(nano) }));

const PriceFacts = ({ price }) => (price ? html`<${Facts} rows=${[
  [t('models.priceIn'), perMillion(price.input_nano_per_mtok)], [t('models.priceOut'), perMillion(price.output_nano_per_mtok)],
  [t('models.priceFrom'), price.source === 'own' ? t('models.source.store')
    : html`<span class="break">${price.source}</span> <small>${price.date}</small>`],
]} />` : html`<p class="dim">${t('models.noPrice')}</p>`);

const amounts = { input_nano_per_mtok: 'priceIn', cached_nano_per_mtok: 'priceCached', output_nano_per_mtok: 'priceOut' };

// Price: what the model costs, and what the operator pays instead. Input and output are
// saved together, so one that is missing is asked for when the fields are left.
export function Price({ model, saving: { wrong, save } }) {
  const own = model.own_price, [draft, setDraft] = useState({}), [left, setLeft] = useState(false);
  useEffect(() => { setDraft({}); setLeft(false); }, [model.id, own]);
  const typed = { ...own, ...draft };
  const put = (price) => save({ own_price: price }, { own_price: own }, t('models.own'));
  const keep = (part) => {
    setDraft({ ...draft, ...part });
    const price = priceOf({ ...typed, ...part });
    if (price !== undefined) put(price);
  };
  const missing = (name) => left && priceOf(typed) === undefined && name !== 'cached_nano_per_mtok' && (typed[name] ?? null) === null;
  const hint = (name) => {
    if (name === 'cached_nano_per_mtok') return (typed.input_nano_per_mtok ?? null) === null ? undefined : t('models.priceAsInput');
    const nano = own ? null : model.price?.[name];
    return nano === undefined || nano === null || nano < 0 ? undefined : dollars(nano);
  };
  return html`<h3>${t('models.price')}</h3><${PriceFacts} price=${model.price} />
    <h3>${t('models.own')}</h3><p class="dim">${t('models.ownHelp')}</p>
    <div class="fields three" onFocusIn=${() => setLeft(false)}
      onFocusOut=${(e) => e.currentTarget.contains(e.relatedTarget) || setLeft(true)}>
      ${Object.entries(amounts).map(([name, label]) => html`<${Typed} key=${name} label=${t('models.' + label)} value=${typed[name] ?? null}
        show=${dollars} read=${readPrice} fault=${t('models.priceFault')} placeholder=${hint(name)}
        error=${missing(name) ? t('models.priceMissing') : wrong['own_price.' + name] ?? wrong.own_price} disabled=${!isAdmin.value}
        onKeep=${(n) => keep({ [name]: n })} />`)}</div>
    ${own && isAdmin.value && html`<${LinkButton} onClick=${() => put(null)}>${t('models.ownBack')}<//>`}`;
}

// Limits: Google's quota of a project for this model, where the operator knows it.
export function Limits({ model, saving: { wrong, save } }) {
  const of = (tier) => model.limits?.[tier] ?? null;
  const keep = (tier, name, n) => save({ limits: { [tier]: { [name]: n } } }, { limits: { [tier]: { [name]: of(tier)?.[name] ?? null } } },
    t('models.limits'));
  return html`<h3>${t('models.limits')}</h3><p class="dim">${t('models.limitsHelp')}</p>
    <table class="plain limits"><thead><tr><th scope="col">${t('models.tier')}</th>${['rpm', 'tpm', 'rpd'].map((name) => html`
      <th scope="col" key=${name}><abbr title=${t('models.limit.' + name)}>${name.toUpperCase()}</abbr></th>`)}</tr></thead>
    <tbody>${['free', 'paid'].map((tier) => html`<tr key=${tier}><th scope="row">${t('models.tier.' + tier)}</th>
      ${['rpm', 'tpm', 'rpd'].map((name) => html`<td key=${name}><${Typed} class="cell" value=${of(tier)?.[name] ?? null} show=${String}
        label=${`${t('models.tier.' + tier)}: ${t('models.limit.' + name)}`} read=${readLimit} fault=${t('models.limitFault')}
        placeholder=${t('models.limitLearned')} error=${wrong[`limits.${tier}.${name}`] ?? wrong['limits.' + tier] ?? wrong.limits}
        disabled=${!isAdmin.value} onKeep=${(n) => keep(tier, name, n)} /></td>`)}</tr>`)}</tbody></table>`;
}
