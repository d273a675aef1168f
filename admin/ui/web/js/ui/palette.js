import { html, signal, useEffect, useId, useRef, useState } from '../vendor/preact.mjs';
import { api } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { paletteOpen } from '../lib/keyboard.js';
import { go } from '../lib/route.js';
import { pages } from '../pages/index.js';
import { useModal } from './dialog.js';
import { Icon } from './parts.js';

// Actions of the page that is shown: [{ text, icon, act }]. usePaletteActions adds them.
const actions = signal([]);

export function usePaletteActions(list, deps) {
  useEffect(() => {
    actions.value = [...actions.value, ...list];
    return () => (actions.value = actions.value.filter((a) => !list.includes(a)));
  }, deps);
}

const matches = (text, wanted) => wanted.toLowerCase().split(/\s+/).every((word) => text.toLowerCase().includes(word));

// useKeysNamed finds Gemini keys and user keys by name, while typing.
function useKeysNamed(typed) {
  const [found, setFound] = useState([]);
  useEffect(() => {
    if (typed.trim().length < 2) { setFound([]); return undefined; }
    const abort = new AbortController();
    const ask = (path, page, icon) => api(path, { query: { q: typed.trim(), limit: 5, offset: 0 }, signal: abort.signal, plain: true })
      .then((r) => r.items.map((k) => ({ text: k.name || k.hint, hint: k.hint, icon, act: () => go(page, { id: k.id }) })), () => []);
    const timer = setTimeout(async () => {
      const lists = await Promise.all([ask('keys/gemini', '/keys', 'key'), ask('keys/user', '/users', 'users')]);
      if (!abort.signal.aborted) setFound(lists.flat());
    }, 150);
    return () => { clearTimeout(timer); abort.abort(); };
  }, [typed]);
  return found;
}

function Box() {
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  const id = useId();
  const close = () => (paletteOpen.value = false);
  const { ref, ...events } = useModal(close);
  const list = useRef();
  const named = useKeysNamed(typed);
  const places = pages.filter((p) => p.icon).map((p) => ({ text: t('nav.' + p.name), icon: p.icon, hint: p.key && `g ${p.key}`,
    act: () => go(p.path) }));
  const items = [...places, ...actions.value].filter((x) => matches(x.text, typed)).concat(named);
  const chosen = Math.min(at, items.length - 1);
  const choose = (item) => { close(); item?.act(); };
  const keys = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) {
      event.preventDefault();
      setAt((chosen + step + items.length) % items.length);
    } else if (event.key === 'Enter' && !event.isComposing) {
      event.preventDefault();
      choose(items[chosen]);
    }
  };
  useEffect(() => { list.current?.children[chosen]?.scrollIntoView({ block: 'nearest' }); }, [chosen]);
  return html`
    <dialog class="dialog palette" ref=${ref} aria-label=${t('palette')} ...${events}>
      <label class="search"><${Icon} name="search" />
        <input type="text" role="combobox" aria-expanded="true" aria-controls=${id} aria-autocomplete="list" autocomplete="off"
          spellcheck="false"
          aria-activedescendant=${items.length ? `${id}-${chosen}` : undefined} placeholder=${t('palette.hint')}
            aria-label=${t('palette.hint')}
          value=${typed} onInput=${(e) => { setTyped(e.target.value); setAt(0); }} onKeyDown=${keys} /></label>
      <ul role="listbox" id=${id} ref=${list} aria-label=${t('palette')}>
        ${items.map((item, i) => html`
          <li role="option" key=${i} id=${`${id}-${i}`} aria-selected=${i === chosen ? 'true' : 'false'} onClick=${() => choose(item)}
            onPointerMove=${() => i !== at && setAt(i)}><${Icon} name=${item.icon} /><span>${item.text}</span>
              ${item.hint && html`<small>${item.hint}</small>`}</li>`)}
      </ul>
      ${items.length === 0 && html`<p class="dim pad14" role="status">${t('palette.none')}</p>`}
    </dialog>`;
}

export const Palette = () => paletteOpen.value && html`<${Box} />`;
