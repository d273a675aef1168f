import { html } from '../../vendor/preact.mjs';
import { full, ms, pct } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { href } from '../../lib/route.js';
import { isAdmin } from '../../lib/session.js';
import { Drawer } from '../../ui/drawer.js';
import { Switch } from '../../ui/form.js';
import { Facts, Go, Tags } from '../../ui/parts.js';
import { Defaults, Limits, Price, useSaving } from './defaults.js';

const about = (model) => [
  [t('models.contextIn'), full(model.context_in)], [t('models.contextOut'), full(model.context_out)],
  [t('models.col.keys'), html`<a class="inline" href=${href('/keys')}>
    ${t('models.usable', { n: model.keys_usable, all: model.keys })}</a>`],
  [t('models.left'), model.left_today === null || model.left_today === undefined ? html`<span class="dim">
    ${t('models.leftUnknown')}</span>` : t('models.leftN', { n: model.left_today })],
  [t('models.aliases'), model.aliases?.length ? html`<${Tags} tags=${model.aliases} />` : t('none')],
];

const day = (model) => [
  [t('models.col.requests'), full(model.requests_24h)], [t('models.col.success'), model.requests_24h ? pct(model.success, 2) : '–'],
  [t('models.col.ttft'), ms(model.ttft_p50_ms)],
  [t('models.col.p95'), ms(model.p95_ms)], [t('models.col.speed'), model.tokens_out_per_s ? model.tokens_out_per_s.toFixed(1) : '–'],
];

// ModelDrawer: one model whole. Its id stands in the address.
export function ModelDrawer({ model, models, onFlip, onClose }) {
  const saving = useSaving(model, models);
  return html`<${Drawer} title=${model.id} subtitle=${html`<span class="dim">${t('models.kind.' + model.kind)}</span>`} onClose=${onClose}>
    <label class="offer"><${Switch} label=${t('models.offer', { model: model.id })} checked=${model.offered} disabled=${!isAdmin.value}
      onChange=${onFlip} />
      <span><b>${t(model.offered ? 'models.isOffered' : 'models.notOffered')}</b><small>${t('models.offerHelp')}</small></span></label>
    <div class="actions wrap"><${Go} to="/requests" query=${{ model: model.id }} icon="requests">${t('models.viewRequests')}<//>
      <${Go} to="/playground" query=${{ model: model.id }} icon="play">${t('models.try')}<//></div>
    <h3>${t('models.last24')}</h3><${Facts} rows=${day(model)} />
    <h3>${t('models.about')}</h3><${Facts} rows=${about(model)} />
    <${Defaults} model=${model} saving=${saving} /><${Price} model=${model} saving=${saving} />
    <${Limits} model=${model} saving=${saving} /><//>`;
}
