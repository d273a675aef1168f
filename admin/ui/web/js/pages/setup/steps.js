import { html, useEffect, useRef, useState } from '../../vendor/preact.mjs';
import { api, idempotencyKey, post } from '../../lib/api.js';
import { full, ms } from '../../lib/format.js';
import { t } from '../../lib/i18n.js';
import { Area, Checkbox, FileDrop, Password, Text, splitTags } from '../../ui/form.js';
import { Button, ErrorNote, Facts, Note, Secret } from '../../ui/parts.js';
import { Snippets } from '../../ui/snippets.js';
import { gateway } from '../playground/base.js';
import { Answer } from '../playground/chat.js';
import { send } from '../playground/send.js';
import { scan } from './keys.js';

// useTask runs one piece of work at a time and keeps its error.
function useTask() {
  const [busy, setBusy] = useState(false), [error, setError] = useState(null);
  const run = async (work) => {
    setBusy(true);
    setError(null);
    try { return await work(); } catch (e) { setError(e); return undefined; } finally { setBusy(false); }
  };
  return { busy, error, run };
}

// AdminKey: the token of Caddy's log makes the first admin key, shown once.
export function AdminKey({ made, onMade, onNext }) {
  const [token, setToken] = useState(''), [saved, setSaved] = useState(false), task = useTask(), field = useRef();
  useEffect(() => field.current?.focus(), []);
  const create = (event) => {
    event.preventDefault();
    if (token.trim()) task.run(async () => onMade((await post('setup', { token: token.trim() }, { plain: true })).admin_key));
  };
  if (made) {
    return html`<${Note} kind="warn">${t('setup.admin.once')}<//><${Secret} value=${made} label=${t('setup.admin.key')} />
      <div class="actions"><${Checkbox} label=${t('setup.saved')} checked=${saved} onChange=${setSaved} /><span class="grow"></span>
        <${Button} kind="primary" disabled=${!saved} onClick=${onNext}>${t('setup.next')}<//></div>`;
  }
  return html`<p>${t('setup.admin.text')}</p><form onSubmit=${create} class="stepform"><${Password} label=${t('setup.admin.token')}
    help=${t('setup.admin.tokenHelp')}
      autocomplete="off" inputRef=${field} value=${token} onInput=${setToken} />
    ${task.error && html`<${ErrorNote} error=${task.error} title=${t('setup.admin.failed')} />`}
    <div class="actions"><span class="grow"></span><${Button} type="submit" kind="primary" busy=${task.busy} disabled=${!token.trim()}>
      ${t('setup.admin.make')}<//></div></form>`;
}

// watch asks for a job until it is over: the stream of events is not open in set-up.
async function watch(job, onJob, alive) {
  let now = job;
  while (alive() && !['done', 'cancelled', 'failed'].includes(now.state)) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    now = await api('jobs/' + job.id);
    onJob(now);
  }
  return now;
}

function Progress({ job }) {
  const counts = Object.entries(job.counts ?? {}).filter(([, n]) => n > 0);
  return html`<div class="stepjob" role="status"><progress max=${Math.max(1, job.total)} value=${job.done}
    aria-label=${t('setup.keys.progress')}></progress>
    <p>${full(job.done)} / ${full(job.total)} ${counts.map(([name, n]) => html` <span key=${name} class=${name === 'invalid' ? 'badtext'
      : undefined}>· ${full(n)} ${t('job.count.' + name)}</span>`)}</p></div>`;
}

function Verdict({ job }) {
  const { valid = 0, invalid = 0, unreachable = 0 } = job.counts ?? {};
  if (job.state === 'failed') return html`<${Note} kind="bad">${job.error}<//>`;
  if (valid > 0) return html`<${Note} kind="ok">${t('setup.keys.good', { n: valid })}<//>`;
  if (unreachable > 0) return html`<${Note} kind="bad">${t('setup.keys.unreachable')}<//>`;
  if (invalid > 0) return html`<${Note} kind="bad">${t('setup.keys.allInvalid', { n: invalid })}<//>`;
  return null;
}

// GeminiKeys takes pasted text or a file, counts at once, adds and validates.
export function GeminiKeys({ onNext }) {
  const [text, setText] = useState(''), [tags, setTags] = useState(''), [job, setJob] = useState(null), task = useTask(),
    here = useRef(true);
  useEffect(() => () => { here.current = false; }, []);
  const { found, duplicates, malformed } = scan(text);
  const add = () => task.run(async () => {
    const started = await post('keys/gemini/import', { text, tags: splitTags(tags), validate: true, enabled: true });
    setJob(started);
    setJob(await watch(started, setJob, () => here.current));
    setText('');
  });
  const over = job && ['done', 'cancelled', 'failed'].includes(job.state);
  return html`<p>${t('setup.keys.text')}</p>
    <${Area} label=${t('setup.keys.label')} rows=${5} value=${text} spellcheck=${false} autocomplete="off" data-secret=${text ? 'true'
      : undefined} onInput=${setText} />
    <${FileDrop} accept=".txt,.csv,.json,text/plain" onFiles=${async ([file]) => setText(await file.text())}>
      <span>${t('setup.keys.drop')}</span><//>
    <p role="status" class="dim">${text ? t('setup.keys.count', { found, duplicates, malformed }) : ''}</p>
    <${Text} label=${t('setup.keys.tags')} optional value=${tags} onInput=${setTags} />
    ${task.error && html`<${ErrorNote} error=${task.error} onRetry=${add} />`}
    ${job && html`<${Progress} job=${job} />`}${over && html`<${Verdict} job=${job} />`}
    <div class="actions">${over && !text ? html`<span class="grow"></span><${Button} kind="primary" onClick=${onNext}>${t('setup.next')}<//>`
      : html`<${Button} kind="quiet" onClick=${onNext}>${t('setup.skip')}<//><span class="grow"></span>
      <${Button} kind="primary" busy=${task.busy} disabled=${!text.trim()} onClick=${add}>${found ? t('setup.keys.add', { n: found })
        : t('setup.keys.addAny')}<//>`}</div>`;
}

// UserKey makes the first user key, shown once.
export function UserKey({ made, onMade, onNext }) {
  const [name, setName] = useState('first'), [saved, setSaved] = useState(false), task = useTask(), once = useRef(idempotencyKey());
  const create = (event) => {
    event.preventDefault();
    if (name.trim()) task.run(async () => onMade(await post('keys/user', { name: name.trim(), limits: {} }, { headers: once.current })));
  };
  if (made) {
    return html`<${Note} kind="warn">${t('setup.user.once')}<//><${Secret} value=${made.key} label=${t('setup.user.key')} />
      <div class="actions"><${Checkbox} label=${t('setup.saved')} checked=${saved} onChange=${setSaved} /><span class="grow"></span>
        <${Button} kind="primary" disabled=${!saved} onClick=${onNext}>${t('setup.next')}<//></div>`;
  }
  return html`<p>${t('setup.user.text')}</p><form class="stepform" onSubmit=${create}><${Text} label=${t('setup.user.name')} value=${name}
    onInput=${setName} autocomplete="off" />
    ${task.error && html`<${ErrorNote} error=${task.error} />`}
    <div class="actions"><${Button} kind="quiet" onClick=${onNext}>${t('setup.skip')}<//><span class="grow"></span>
      <${Button} type="submit" kind="primary" busy=${task.busy} disabled=${!name.trim()}>${t('setup.user.make')}<//></div></form>`;
}

const form = { dialect: 'openai', model: 'gemini-flash-latest', system: '', temperature: '', top_p: '', max_tokens: '', thinking: '',
  schema: '', search: false };

function Test({ secret }) {
  const [state, setState] = useState(null), [busy, setBusy] = useState(false), abort = useRef(null);
  useEffect(() => () => abort.current?.abort(), []);
  const test = async () => {
    abort.current = new AbortController();
    setBusy(true);
    await send(form, [{ role: 'user', text: t('setup.try.prompt') }], { userKey: '', key: secret, signal: abort.current.signal,
      onChange: setState });
    setBusy(false);
  };
  const first = state?.times.first ? state.times.first - state.times.start : null;
  return html`<div class="actions"><${Button} icon="send" kind="primary" busy=${busy} onClick=${test}>${t('setup.try.send')}<//>
      ${busy && html`<${Button} icon="square" onClick=${() => abort.current.abort()}>${t('setup.try.stop')}<//>`}</div>
    ${state && html`<div class="testreply" role="status"><${Answer} text=${state.reply.text} />
      ${state.reply.error && html`<${Note} kind="bad"><b>${state.facts?.status >= 400 ? state.facts.status
        : ''}</b> ${state.reply.error.message}<//>`}
      ${first !== null && html`<small>${t('setup.try.first', { t: ms(first) })}</small>`}</div>`}`;
}

// TryIt shows addresses and ready code with the key filled in, and sends a test.
export function TryIt({ made, onDone }) {
  return html`<${Facts} rows=${[['OpenAI', html`<code>${gateway}/v1</code>`], ['Anthropic', html`<code>${gateway}</code>`],
    ['Gemini', html`<code>${gateway}</code>`]]} />
    <${Test} secret=${made?.key} /><${Snippets} secret=${made?.key} model=${form.model} label=${t('setup.try.code')} />
    <div class="actions"><span class="grow"></span><${Button} kind="primary" onClick=${onDone}>${t('setup.finish')}<//></div>`;
}
