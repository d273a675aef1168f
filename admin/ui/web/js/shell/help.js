import { html } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { helpOpen, letters } from '../lib/keyboard.js';
import { pages } from '../pages/index.js';
import { Dialog } from '../ui/dialog.js';
import { Checkbox } from '../ui/form.js';
import { Kbd } from '../ui/parts.js';

const everywhere = [['/', 'key.search'], ['Ctrl+K', 'key.palette'], ['?', 'key.help']];
const tables = [['↑ ↓', 'key.move'], ['Space', 'key.select'], ['Shift', 'key.range'], ['Enter', 'key.open'], ['.', 'key.menu'],
  ['Esc', 'key.esc']];

const Keys = ({ title, rows }) => html`
  <section><h3>${title}</h3><dl class="keys-list">${rows.map(([keys, text]) => html`<dt><${Kbd} keys=${keys} /></dt><dd>${text}</dd>`)}</dl>
    </section>`;

const Box = () => html`
  <${Dialog} title=${t('help')} onClose=${() => (helpOpen.value = false)}>
    <div class="keyhelp">
      <${Keys} title=${t('key.everywhere')} rows=${everywhere.map(([k, text]) => [k, t(text)])} />
      <${Keys} title=${t('key.tables')} rows=${tables.map(([k, text]) => [k, t(text)])} />
      <${Keys} title=${t('key.pages')} rows=${pages.map((p) => ['g ' + p.key, t('nav.' + p.name)])} />
    </div>
    <${Checkbox} label=${t('key.letters')} help=${t('key.lettersHelp')} checked=${letters.value} onChange=${(on) => (letters.value = on)} />
  <//>`;

export const Help = () => helpOpen.value && html`<${Box} />`;
