import { html, useEffect, useState } from '../../vendor/preact.mjs';
import { full } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { Select, Text } from '../../ui/form.js';
import { budgetOf, readTokens, thoughts } from './options.js';

// Typed: a field that is kept when it is left. read makes a value of the text, or
// undefined for what is none: then fault stands below, and the text stays.
export function Typed({ value, show, read, fault, error, onKeep, ...rest }) {
  const [text, setText] = useState(null), [wrong, setWrong] = useState(false);
  useEffect(() => { setText(null); setWrong(false); }, [value]);
  const keep = (typed) => {
    const made = read(typed.trim());
    setWrong(made === undefined);
    setText(made === value ? null : typed);
    if (made !== undefined) onKeep(made);
  };
  return html`<${Text} inputmode="decimal" autocomplete="off" value=${text ?? (value === null ? '' : show(value))}
    error=${wrong ? fault : error} onInput=${setText} onChange=${keep} ...${rest} />`;
}

// Thinking: how much a model is to think. onChange gets tokens, 0 for as few as it can,
// -1 for as it likes, null for nothing set, and NaN while the tokens are still to be typed.
export function Thinking({ value, help, error, disabled, onChange }) {
  const choice = thoughts(value), tokens = choice === 'tokens';
  return html`<div class=${tokens ? 'row2' : undefined}>
    <${Select} label=${t('models.thinking')} help=${help} value=${choice} disabled=${disabled} error=${!tokens && error}
      options=${Object.keys(budgetOf).map((c) => [c, t('models.thinking.' + c)])}
      onChange=${(c) => c !== choice && onChange(budgetOf[c])} />
    ${tokens && html`<${Typed} label=${t('models.thinking.n')} value=${Number.isNaN(value) ? null : value} show=${String} read=${readTokens}
      fault=${t('models.thinking.fault')} error=${error} disabled=${disabled} onKeep=${onChange} />`}</div>`;
}

// optionWords are an alias's options in words, none for what is not set.
export function optionWords({ thinking_budget, search }) {
  const choice = thoughts(thinking_budget);
  return [choice !== 'unset' && t('models.option.' + choice, { n: full(thinking_budget) }), search && t('models.option.search')]
    .filter(Boolean);
}
