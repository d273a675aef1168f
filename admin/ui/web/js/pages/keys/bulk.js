import { html, useState } from '../../vendor/preact.mjs';
import { api } from '../../lib/api.js';
import { t } from '../../lib/i18n.js';
import { useLoad } from '../../lib/load.js';
import { count } from '../../lib/selection.js';
import { Dialog } from '../../ui/dialog.js';
import { Num, TagInput } from '../../ui/form.js';
import { MenuButton } from '../../ui/menu.js';
import { Button, LinkButton, Segmented } from '../../ui/parts.js';
import { onMany } from './actions.js';

// BulkBar stands in the tool bar's place while keys are selected.
export function BulkBar({ selection, total, filter, onAll, onClear, onValidate, onExport, changed }) {
  const [asking, setAsking] = useState(null);
  const n = count(selection, total);
  const run = (action, extra) => onMany(action, { selection, filter, total, extra, changed });
  const more = () => [
    { text: t('keys.weightAct'), icon: 'weight', act: () => setAsking('weight') },
    { text: t('keys.resetAct'), icon: 'rotate', act: () => run('reset') },
    { text: t('keys.export'), icon: 'download', act: onExport },
  ];
  const close = () => setAsking(null);
  return html`
    <div class="bulk" role="region" aria-label=${t('keys.selection')}>
      <b role="status">${t('keys.selected', { n })}</b>
      ${!selection.all && total > n && html`<${LinkButton} onClick=${onAll}>${t('keys.selectMatching', { n: total })}<//>`}
      <span class="grow"></span>
      <${Button} icon="shield" title=${t('keys.validate')} onClick=${onValidate}>${t('keys.validate')}<//>
      <${Button} icon="playSmall" title=${t('keys.enable')} onClick=${() => run('enable')}>${t('keys.enable')}<//>
      <${Button} icon="power" title=${t('keys.disable')} onClick=${() => run('disable')}>${t('keys.disable')}<//>
      <${Button} icon="tag" title=${t('keys.tagAct')} onClick=${() => setAsking('tag')}>${t('keys.tagAct')}<//>
      <${Button} icon="trash" kind="danger" title=${t('delete')} onClick=${() => run('delete')}>${t('delete')}<//>
      <${MenuButton} icon="more" label=${t('keys.more')} items=${more} />
      <${Button} icon="x" kind="ghost" label=${t('keys.clear')} onClick=${onClear} />
      ${asking === 'tag' && html`<${TagDialog} n=${n} onClose=${close} onDone=${(action, tags) => { close(); run(action, { tags }); }} />`}
      ${asking === 'weight' && html`<${WeightDialog} n=${n} onClose=${close}
        onDone=${(weight) => { close(); run('weight', { weight }); }} />`}
    </div>`;
}

export const useTags = () => useLoad((signal) => api('keys/gemini/tags', { signal }).then((r) => r.items), []).data ?? [];

function TagDialog({ n, onClose, onDone }) {
  const [tags, setTags] = useState([]);
  const [action, setAction] = useState('tag');
  const known = useTags().map((x) => x.tag);
  const footer = html`<${Button} onClick=${onClose}>${t('cancel')}<//>
    <${Button} type="submit" kind="primary" disabled=${tags.length === 0}>${t('keys.tag.' + action)}<//>`;
  return html`
    <${Dialog} title=${t('keys.tag.title', { n })} size="small" footer=${footer} onClose=${onClose}
      onSubmit=${() => tags.length && onDone(action, tags)}>
      <${Segmented} label=${t('keys.tagAct')} value=${action} onChange=${setAction}
        options=${[['tag', t('keys.tag.tag')], ['untag', t('keys.tag.untag')]]} />
      <${TagInput} label=${t('keys.col.tags')} tags=${tags} known=${known} onChange=${setTags} /><//>`;
}

function WeightDialog({ n, onClose, onDone }) {
  const [weight, setWeight] = useState(1);
  const fits = Number.isInteger(weight) && weight >= 1 && weight <= 100;
  const footer = html`<${Button} onClick=${onClose}>${t('cancel')}<//>
    <${Button} type="submit" kind="primary" disabled=${!fits}>${t('save')}<//>`;
  return html`
    <${Dialog} title=${t('keys.weight.title', { n })} size="small" footer=${footer} onClose=${onClose}
      onSubmit=${() => fits && onDone(weight)}>
      <${Num} label=${t('keys.col.weight')} help=${t('keys.weight.help')} value=${weight} onInput=${setWeight}
        error=${fits ? undefined : t('keys.weight.wrong')} /><//>`;
}
