import { html } from '../../vendor/preact.mjs';
import { t } from '../../lib/i18n.js';
import { count, toRequest } from '../../lib/selection.js';

// A scope is what a validation or an export is about: all keys, those of the
// filter, or the selection. scopes lists the possible ones: [{ id, n, request }].
/** @returns {{ id: string, n: number, request: { all?: boolean, ids?: string[], filter?: object, except?: string[] } }[]} */
export function scopes({ selection, filter, total, all }) {
  const filtered = Object.keys(filter).length > 0;
  const selected = count(selection, total);
  return [
    selected > 0 && { id: 'selection', n: selected, request: bare(toRequest(selection, filter, total)) },
    filtered && { id: 'filter', n: total, request: { filter } },
    { id: 'all', n: all, request: { all: true } },
  ].filter(Boolean);
}

// Validation and export take no count to compare.
/** @param {{ ids?: string[], filter?: object, except?: string[], expected_count?: number }} request */
const bare = ({ expected_count: _, ...request }) => request;

// Scope: the choice, as radio buttons.
export const Scope = ({ list, value, onChange }) => html`
  <fieldset class="field"><legend>${t('keys.scope')}</legend>
    ${list.map((s) => html`
      <label class="check" key=${s.id}><input type="radio" name="scope" checked=${s.id === value} onChange=${() => onChange(s.id)} />
        <span>${t('keys.scope.' + s.id, { n: s.n })}</span></label>`)}
  </fieldset>`;
