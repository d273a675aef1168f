import { html, useEffect, useRef, useState } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { route } from '../lib/route.js';
import { isAdmin } from '../lib/session.js';
import { Button, Copy, Empty, Icon, LinkButton, Note, PageHead } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { Code, Tabs } from '../ui/snippets.js';
import { toast } from '../ui/toast.js';
import { Chat } from './playground/chat.js';
import { dialects, request, shown } from './playground/dialects.js';
import { Options, blankForm, faultsOf, useModels } from './playground/form.js';
import { filesOf, readImages } from './playground/images.js';
import { address, forget, send } from './playground/send.js';
import { code } from './playground/snippets.js';
import { emptyReply } from './playground/stream.js';

await sheet('playground');

export const title = () => t('nav.playground');

const media = matchMedia('(min-width: 1280px)');
const waiting = () => ({ reply: emptyReply(), facts: null, times: { start: performance.now(), first: null, end: null }, raw: [],
  dropped: 0, stopped: false });

// history is what the model is told: answers as text, without those that failed.
const historyOf = (turns) => turns.filter((x) => x.role === 'user' || (x.state.reply.text && !x.state.reply.error))
  .map((x) => (x.role === 'user' ? x : { role: 'model', text: x.state.reply.text }));

// useConversations runs one conversation per model: one, or two side by side.
function useConversations(form) {
  const [lanes, setLanes] = useState([[], []]), [running, setRunning] = useState(false), abort = useRef(null);
  const now = useRef(lanes);
  now.current = lanes;
  useEffect(() => () => { abort.current?.abort(); forget(); }, []);
  const put = (lane, change) => setLanes((all) => { const next = all.map((turns, i) => (i === lane ? change(turns) : turns));
    now.current = next; return next; });
  const ask = async (turn, keep = [(x) => x, (x) => x]) => {
    abort.current?.abort();
    const own = new AbortController();
    abort.current = own;
    setRunning(true);
    const run = async (lane, model) => {
      const before = keep[lane](now.current[lane]), asked = [...before, turn];
      put(lane, () => [...asked, { role: 'model', state: waiting() }]);
      await send({ ...form, model }, historyOf(asked), {
        userKey: form.userKey, geminiKey: form.geminiKey, signal: own.signal, onChange: (state) => abort.current === own
          && put(lane, (turns) => [...turns.slice(0, -1), { role: 'model', state }]),
      });
    };
    await Promise.all([run(0, form.model), ...(form.compare ? [run(1, form.other)] : [])]);
    if (abort.current === own) setRunning(false);
  };
  return {
    lanes, running, ask,
    stop: () => abort.current?.abort(),
    clear: () => { abort.current?.abort(); abort.current = null; setRunning(false); setLanes([[], []]); },
    retry: () => {
      const last = lanes[0].findLastIndex((x) => x.role === 'user');
      if (last >= 0) ask(lanes[0][last], [(x) => x.slice(0, last), (x) => x.slice(0, Math.min(last, x.length))]);
    },
  };
}

function useWide() {
  const [wide, setWide] = useState(media.matches);
  useEffect(() => {
    const changed = () => setWide(media.matches);
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }, []);
  return wide;
}

function Composer({ text, setText, images, setImages, talk, onSend }) {
  const file = useRef();
  const take = async (files) => {
    const { images: fresh, refused } = await readImages(files, images.reduce((n, x) => n + x.size, 0));
    if (fresh.length) setImages([...images, ...fresh]);
    for (const x of refused) toast({ kind: 'bad', text: t('playground.refused.' + x.why, { name: x.name }) });
  };
  const paste = (event) => { const files = filesOf(event.clipboardData); if (files.length) { event.preventDefault(); take(files); } };
  const drop = (event) => { event.preventDefault(); take([...event.dataTransfer.files]); };
  const key = (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) { event.preventDefault(); onSend(); }
  };
  return html`<form class="composer" onSubmit=${(e) => { e.preventDefault(); onSend(); }} onPaste=${paste} onDrop=${drop}
    onDragOver=${(e) => e.preventDefault()}>
    ${images.length > 0 && html`<ul class="attached">${images.map((image, i) => html`<li class="tag" key=${i}>
      <${Icon} name="image" size=${13} /> ${image.name || image.type}
      <button type="button" aria-label=${t('tag.remove', { tag: image.name || image.type })}
        onClick=${() => setImages(images.filter((_, j) => j !== i))}><${Icon} name="x" size=${12} /></button></li>`)}</ul>`}
    <textarea class="input" rows="3" value=${text} aria-label=${t('playground.message')} placeholder=${t('playground.message')}
      onInput=${(e) => setText(e.target.value)} onKeyDown=${key}></textarea>
    <div class="actions"><${Button} icon="image" kind="ghost" label=${t('playground.attach')} onClick=${() => file.current.click()} />
      <input type="file" class="sr" tabindex="-1" aria-hidden="true" ref=${file} accept="image/*" multiple
        onChange=${(e) => { take([...e.target.files]); e.target.value = ''; }} />
      <small class="hint">${t('playground.enter')}</small><span class="grow"></span>
      ${talk.lanes[0].length > 0 && !talk.running && html`<${Button} icon="refresh" kind="quiet" onClick=${talk.retry}>
        ${t('playground.retry')}<//>
        <${Button} icon="trash" kind="quiet" onClick=${talk.clear}>${t('playground.clear')}<//>`}
      ${talk.running ? html`<${Button} icon="square" onClick=${talk.stop}>${t('playground.stop')} <kbd>Esc</kbd><//>`
        : html`<${Button} type="submit" kind="primary" icon="send" disabled=${!isAdmin.value || (!text.trim() && !images.length)}>
          ${t('playground.send')}<//>`}</div></form>`;
}

// RawRequest and Code show what would be sent now; the last question stands in for none.
function built(form, lane, text, images) {
  const turns = historyOf(lane), last = turns.at(-1);
  const turn = text.trim() || images.length ? { role: 'user', text: text.trim(), images } : null;
  const all = turn ? [...turns, turn] : last?.role === 'model' ? turns.slice(0, -1) : turns.length ? turns
    : [{ role: 'user', text: 'Hello' }];
  try { return request({ ...form, model: form.model || 'gemini-flash-latest' }, all); } catch { return null; }
}

function RawEvents({ lane }) {
  const state = lane.at(-1)?.state;
  if (!state?.raw.length) return html`<p class="dim pad14">${t('playground.noEvents')}</p>`;
  const text = () => state.raw.map((e) => `event: ${e.event}\ndata: ${e.data}\n`).join('\n');
  return html`<div class="rawevents"><header><small>${t('playground.events', { n: state.raw.length })}</small><span class="grow"></span>
    <${Copy} text=${text} /></header>
    <ol tabindex="0" aria-label=${t('playground.tab.events')}>${state.raw.map((e, i) => html`<li key=${i}>
      <small class="num">+${Math.round(e.at)} ms</small> <b>${e.event}</b><code>${e.data}</code></li>`)}</ol>
    ${state.dropped > 0 && html`<p class="dim">${t('playground.dropped', { n: state.dropped })}</p>`}</div>`;
}

function CodeTab({ form, ready }) {
  const [language, setLanguage] = useState('curl');
  return html`<div class="pad14"><${Tabs} label=${t('playground.language')} value=${language} onChange=${setLanguage}
    tabs=${[['curl', 'curl'], ['python', 'Python'], ['js', 'JavaScript']]}>
    ${(l) => html`<${Code} label=${l} text=${code(l, address, ready, dialects[form.dialect].authorize)} />`}<//></div>`;
}

// Behind is what a tab other than the chat shows of one conversation; of two each has its model's name.
function Behind({ view, form, lane, named, text, images }) {
  const ready = view === 'events' ? null : built(form, lane, text, images);
  return html`${named && html`<h2 class="mono pad14">${form.model}</h2>`}
    ${view === 'events' ? html`<${RawEvents} lane=${lane} />`
    : !ready ? html`<p class="badtext pad14">${t('playground.fault.json')}</p>`
      : view === 'request' ? html`<div class="pad14"><${Code} label=${t('playground.tab.request')} text=${shown(ready)} /></div>`
        : html`<${CodeTab} form=${form} ready=${ready} />`}`;
}

export function Page() {
  const [form, setForm] = useState(() => ({ ...blankForm(), model: route.value.q.get('model') ?? '',
      geminiKey: route.value.q.get('key') ?? '' })), [text, setText] = useState(''),
    [images, setImages] = useState([]), [tab, setTab] = useState('chat');
  const [faults, setFaults] = useState({}), wide = useWide(), models = useModels(), talk = useConversations(form);
  const set = (part) => { setForm((f) => ({ ...f, ...part })); setFaults({}); };
  useEffect(() => { if (models.length) setForm((f) => ({ ...f, model: f.model || models[0], other: f.other
    || (models.find((m) => m !== f.model && m !== models[0]) ?? models[0]) })); }, [models]);
  useEffect(() => { if (!wide && form.compare) set({ compare: false }); }, [wide]);
  useEffect(() => {
    const key = (event) => { if (event.key === 'Escape' && talk.running && !document.querySelector('dialog[open]')) {
      event.preventDefault(); talk.stop(); } };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, [talk.running]);
  const ask = () => {
    if (!isAdmin.value || talk.running || (!text.trim() && !images.length)) return;
    const found = faultsOf(form);
    setFaults(found);
    if (Object.keys(found).length) return;
    setTab('chat');
    talk.ask({ role: 'user', text: text.trim(), images });
    setText('');
    setImages([]);
  };
  const lanes = form.compare ? [0, 1] : [0];
  const hint = html`<${Empty} icon="play" title=${t('playground.empty')} text=${t('playground.emptyText')}>
    <${LinkButton} onClick=${() => setText(t('playground.example'))}>${t('playground.example')}<//><//>`;
  return html`<div class="page playground"><${PageHead} title=${title()} />
    ${!isAdmin.value && html`<${Note}>${t('readOnly')}<//>`}
    <div class="playbody"><${Options} form=${form} set=${set} models=${models} faults=${faults} wide=${wide}
      onReset=${() => setForm({ ...blankForm(), model: form.model, other: form.other })} />
      <section class="card playmain" aria-label=${t('playground.conversation')}>
        ${Object.keys(faults).length > 0 && html`<${Note} kind="bad">${t('playground.check')}<//>`}
        <${Tabs} label=${t('playground.views')} value=${tab} onChange=${setTab} tabs=${['chat', 'request', 'events', 'code'].map((x) =>
          [x, t('playground.tab.' + x)])}>
          ${(x) => (x === 'chat' ? html`<div class=${'lanes n' + lanes.length}>${lanes.map((i) => html`<div class="lane" key=${i}>
              ${form.compare && html`<h2 class="mono">${i ? form.other : form.model}</h2>`}
              <${Chat} turns=${talk.lanes[i]} running=${talk.running} label=${t('playground.conversation')} empty=${hint} /></div>`)}</div>`
    : lanes.map((i) => html`<${Behind} key=${i} view=${x} form=${form.compare && i ? { ...form, model: form.other } : form}
      lane=${talk.lanes[i]} named=${form.compare} text=${text} images=${images} />`))}<//>
        <${Composer} text=${text} setText=${setText} images=${images} setImages=${setImages} talk=${talk} onSend=${ask} /></section></div>
          </div>`;
}
