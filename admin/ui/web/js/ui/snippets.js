import { html, useId, useState } from '../vendor/preact.mjs';
import { gateway } from '../pages/playground/base.js';
import { PLACEHOLDER, tools } from '../pages/playground/snippets.js';
import { Copy } from './parts.js';
import { sheet } from './sheet.js';

await sheet('snippets');

// Tabs: a row of tabs over one panel. tabs: [[id, text]]; children is a function of
// the chosen id. Arrow keys move, as the ARIA pattern for tabs has it.
export function Tabs({ tabs, value, onChange, label, children }) {
  const id = useId();
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = tabs.findIndex(([v]) => v === value);
    const to = step ? (at + step + tabs.length) % tabs.length : { Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    onChange(tabs[to][0]);
    event.currentTarget.parentNode.children[to].focus();
  };
  return html`<div class="tabbed"><div class="tablist" role="tablist" aria-label=${label}>${tabs.map(([v, text]) => html`
      <button type="button" role="tab" key=${v} id=${id + v} aria-selected=${v === value ? 'true' : 'false'} aria-controls=${id + 'panel'}
        tabindex=${v === value ? 0 : -1} onClick=${() => onChange(v)} onKeyDown=${move}>${text}</button>`)}</div>
    <div role="tabpanel" class="tabpanel" id=${id + 'panel'} aria-labelledby=${id + value}>${children(value)}</div></div>`;
}

// Code: a block of text to copy. secret marks one that holds a user key.
export const Code = ({ text, label, secret }) => html`<div class="codebox" data-secret=${secret ? 'true' : undefined}>
  <pre tabindex="0" role="region" aria-label=${label}><code>${text}</code></pre><${Copy} text=${text} /></div>`;

// Snippets: ready code per SDK and tool. Without secret the key is a placeholder.
export function Snippets({ secret, model, label }) {
  const [tool, setTool] = useState(tools[0][0]);
  return html`<${Tabs} label=${label} value=${tool} onChange=${setTool} tabs=${tools.map(([id, name]) => [id, name])}>
    ${(id) => {
    const [, name, , make] = tools.find(([x]) => x === id);
    return html`<${Code} text=${make(gateway, secret ?? PLACEHOLDER, model)} label=${name} secret=${Boolean(secret)} />`;
  }}<//>`;
}
