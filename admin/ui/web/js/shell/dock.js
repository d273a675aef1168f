import { html, useLayoutEffect, useRef, useState } from '../vendor/preact.mjs';
import { download } from '../lib/api.js';
import { full, left, short } from '../lib/format.js';
import { has, t } from '../lib/i18n.js';
import { cancelJob, closeJob, isOver, jobs } from '../lib/jobs.js';
import { Button, LinkButton } from '../ui/parts.js';
import { attempt } from '../ui/toast.js';

// In the order in which they are told; others follow.
const moods = { added: 'oktext', valid: 'oktext', changed: 'oktext', invalid: 'badtext', rate_limited: 'warn', unreachable: 'warn',
  failed: 'badtext', malformed: 'badtext' };
const place = (name) => Object.keys(moods).indexOf(name) + 1 || 99;
const word = (name) => (has('job.count.' + name) ? t('job.count.' + name) : name);

const Counts = ({ counts }) => Object.entries(counts ?? {}).filter(([, n]) => n > 0).sort(([a], [b]) => place(a) - place(b)).map(([name, n]) => html`
  <span key=${name} class=${moods[name]}>${full(n)} ${word(name)}</span>`);

function Job({ job }) {
  const [busy, setBusy] = useState(false);
  const over = isOver(job);
  const title = has(`job.${job.kind}`) ? t(`job.${job.kind}`) : job.name;
  const cancel = async () => { setBusy(true); await attempt(() => cancelJob(job.id)); setBusy(false); };
  const results = () => attempt(() => download(`jobs/${job.id}/results?format=csv`, {}, `${job.kind}-${job.id}.csv`));
  return html`
    <div class=${over ? 'job over' : 'job'} role="group" aria-label=${title}>
      <div class="head"><b>${title}</b>${over && html`<span class=${'state-' + job.state}>${t('job.state.' + job.state)}</span>`}
        <span class="grow"></span>
        ${over ? html`<${Button} icon="x" kind="ghost" label=${t('close')} onClick=${() => closeJob(job.id)} />`
          : html`<${Button} busy=${busy} onClick=${cancel}>${t('cancel')}<//>`}</div>
      <progress max=${Math.max(1, job.total)} value=${job.done} aria-label=${title}></progress>
      <p><span>${full(job.done)} / ${full(job.total)}</span><${Counts} counts=${job.counts} /></p>
      ${!over && html`<p>${job.rate_per_s > 0 && html`<span>${t('job.rate', { n: short(job.rate_per_s) })}</span>`}
        <span class="grow"></span>${job.left_ms !== null && job.left_ms !== undefined && html`
          <span>${t('job.left', { t: left(job.left_ms) })}</span>`}</p>`}
      ${job.error && html`<p class="badtext">${job.error}</p>`}
      ${over && job.results > 0 && html`<p><${LinkButton} onClick=${results}>${t('job.results', { n: job.results })}<//></p>`}
    </div>`;
}

const words = (n) => t('jobs.finished', { n });

// useRoom tells pages how much of the window's lower end the dock takes, as --dock:
// what they have at their end must come out from behind it.
function useRoom() {
  const dock = useRef(null);
  useLayoutEffect(() => {
    const { style } = document.documentElement;
    const watch = new ResizeObserver(() => {
      const { height, top } = dock.current.getBoundingClientRect();
      if (height > 0) style.setProperty('--dock', `${Math.ceil(innerHeight - top)}px`);
      else style.removeProperty('--dock');
    });
    watch.observe(dock.current);
    return () => { watch.disconnect(); style.removeProperty('--dock'); };
  }, []);
  return dock;
}

// Dock shows long work at the bottom right. Finished jobs stay until closed; of
// more than one only the newest shows, the others when asked for.
export function Dock() {
  const [all, setAll] = useState(false), room = useRoom();
  const over = jobs.value.filter(isOver);
  const older = over.slice(0, -1);
  const shown = all ? jobs.value.slice(-5) : jobs.value.filter((job) => !older.includes(job));
  return html`
    <div class="dock" ref=${room} role="region" aria-label=${t('jobs')}>
      ${older.length > 0 && html`
        <div class="job more"><${LinkButton} aria-expanded=${all ? 'true' : 'false'} onClick=${() => setAll(!all)}>${words(over.length)}<//>
          <span class="grow"></span><${LinkButton} onClick=${() => over.forEach((job) => closeJob(job.id))}>${t('jobs.closeAll')}<//></div>`}
      ${shown.map((job) => html`<${Job} key=${job.id} job=${job} />`)}
    </div>`;
}
