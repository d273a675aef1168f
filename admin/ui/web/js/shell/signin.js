import { html, useEffect, useRef, useState } from '../vendor/preact.mjs';
import { loopback } from '../lib/api.js';
import { left } from '../lib/format.js';
import { now } from '../lib/clock.js';
import { t } from '../lib/i18n.js';
import { answer, asking, endsIn, final, phase, setup, signIn, signOut, stay, sudo } from '../lib/session.js';
import { Dialog } from '../ui/dialog.js';
import { Checkbox, Password } from '../ui/form.js';
import { Button, Note, explain } from '../ui/parts.js';
import { attempt } from '../ui/toast.js';
import { Brand, LanguageMenu, ThemeMenu } from './nav.js';

// useKeyForm is the state of a form that asks for the admin key: what is typed,
// what went wrong, how long to wait.
function useKeyForm(send) {
  const [key, setKey] = useState('');
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const [until, setUntil] = useState(0);
  const input = useRef();
  useEffect(() => { input.current?.focus(); }, []);
  const waiting = Math.max(0, until - now.value);
  const submit = async () => {
    if (busy || waiting > 0) return;
    if (!key.trim()) { setError({ message: t('signin.empty') }); input.current.focus(); return; }
    setBusy(true);
    setError(null);
    try {
      await send(key);
    } catch (e) {
      if (e.status === 429) setUntil(Date.now() + (e.retryAfter || 60) * 1000);
      setError(e);
      setBusy(false);
      input.current?.focus();
    }
  };
  const said = waiting > 0 ? t('signin.wait', { t: left(waiting) })
    : !error || error.status === 429 ? undefined
      : error.status === 401 || error.status === 403 ? t('signin.wrong') : error.status === undefined ? error.message : explain(error);
  return { key, setKey, input, submit, busy, waiting, said };
}

const KeyFields = ({ form, keep, setKeep }) => html`
  <input class="sr" type="text" name="username" value="admin" autocomplete="username" tabindex="-1" aria-hidden="true" readonly />
  <${Password} label=${t('signin.key')} value=${form.key} onInput=${form.setKey} inputRef=${form.input} error=${form.said}
    name="password" />
  ${setKeep && html`<${Checkbox} label=${t('signin.keep')} help=${t('signin.keepHelp')} checked=${keep} onChange=${setKeep} />`}`;

// SignIn is the page while signed out.
export function SignIn() {
  const [keep, setKeep] = useState(false);
  const form = useKeyForm((key) => signIn(key, keep));
  const plain = !loopback && (setup.value ? !setup.value.tls : location.protocol !== 'https:');
  return html`
    <main class="signin" id="main">
      <form class="card" onSubmit=${(e) => { e.preventDefault(); form.submit(); }} novalidate>
        <${Brand} />
        <h1>${t('signin')}</h1>
        ${plain && html`<${Note} kind="warn">${t('signin.plain')}<//>`}
        <${KeyFields} form=${form} keep=${keep} setKeep=${setKeep} />
        <${Button} type="submit" kind="primary" busy=${form.busy} disabled=${form.waiting > 0}>${t('signin')}<//>
        <p class="dim small">${t('signin.where')}</p>
        <footer><${ThemeMenu} /><${LanguageMenu} /></footer>
      </form>
    </main>`;
}

function Again() {
  const [keep, setKeep] = useState(false);
  const form = useKeyForm((key) => signIn(key, keep));
  const leave = () => { answer(false); phase.value = 'out'; };
  const footer = html`<${Button} onClick=${leave}>${t('signOut')}<//><${Button} type="submit" kind="primary" busy=${form.busy}>
    ${t('signin')}<//>`;
  return html`
    <${Dialog} title=${t('signin.again')} size="small" locked=${true} footer=${footer} onSubmit=${form.submit} onClose=${leave}>
      <p>${t('signin.againText')}</p><${KeyFields} form=${form} keep=${keep} setKeep=${setKeep} /><//>`;
}

function Sudo() {
  const form = useKeyForm(sudo);
  const footer = html`<${Button} onClick=${() => answer(false)}>${t('cancel')}<//>
    <${Button} type="submit" kind="primary" busy=${form.busy}>${t('sudo.confirm')}<//>`;
  return html`
    <${Dialog} title=${t('sudo')} size="small" footer=${footer} onSubmit=${form.submit} onClose=${() => answer(false)}>
      <p>${t('sudo.text')}</p><${KeyFields} form=${form} /><//>`;
}

// Questions about who is there: sign in again, confirm with the key, stay signed in.
export function SessionDialogs() {
  const ending = phase.value === 'in' && !asking.value && endsIn.value < 60_000 && endsIn.value > 0;
  const over = phase.value === 'in' && !asking.value && endsIn.value <= 0;
  useEffect(() => { if (over) stay(); }, [over]);
  if (asking.value === 'signin') return html`<${Again} />`;
  if (asking.value === 'sudo') return html`<${Sudo} />`;
  return ending && html`<${Ending} />`;
}

function Ending() {
  const footer = html`
    <${Button} onClick=${() => attempt(signOut)}>${t('signOut')}<//>
    ${!final.value && html`<${Button} kind="primary" type="submit">${t('ending.stay')}<//>`}`;
  return html`
    <${Dialog} title=${t('ending')} size="small" footer=${footer} onSubmit=${stay} onClose=${stay}>
      <p>${t(final.value ? 'ending.final' : 'ending.text', { t: left(endsIn.value) })}</p><//>`;
}
