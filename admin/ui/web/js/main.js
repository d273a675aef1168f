import { html, render, useEffect, useErrorBoundary, useState } from './vendor/preact.mjs';
import { startEvents } from './lib/events.js';
import { loadTexts, startLang, t } from './lib/i18n.js';
import { startJobs } from './lib/jobs.js';
import { helpOpen, paletteOpen, shortcuts, startKeyboard } from './lib/keyboard.js';
import { go, route } from './lib/route.js';
import { outdated, phase, start, watchInput } from './lib/session.js';
import { pageAt, pages, setupPage } from './pages/index.js';
import { Dock } from './shell/dock.js';
import { Help } from './shell/help.js';
import { Brand, LiveDot, Nav, Tools } from './shell/nav.js';
import { SessionDialogs, SignIn } from './shell/signin.js';
import { Questions } from './ui/dialog.js';
import { Drawer } from './ui/drawer.js';
import { Palette } from './ui/palette.js';
import { Button, Empty, ErrorNote, Go } from './ui/parts.js';
import { Toasts } from './ui/toast.js';

// usePage loads a page's module and texts; the page before stays until they are there.
function usePage(entry) {
  const [loaded, setLoaded] = useState(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let current = true;
    if (!entry) { setLoaded(null); return undefined; }
    Promise.all([entry.load(), loadTexts(entry.texts)]).then(
      ([module]) => current && setLoaded({ entry, module }),
      (error) => current && setLoaded({ entry, error }),
    );
    return () => (current = false);
  }, [entry, tries]);
  return { ...loaded, retry: () => setTries(tries + 1) };
}

function Page({ loaded }) {
  const [error, reset] = useErrorBoundary((e) => console.error(e));
  const { entry, module } = loaded;
  useEffect(() => { document.title = `${module?.title?.() ?? t('nav.' + entry.name)} · Gemini Balance`; });
  if (error) return html`<div class="page"><${ErrorNote} error=${error} title=${t('err.page')} onRetry=${reset} /></div>`;
  return html`<${module.Page} />`;
}

function Content() {
  const { path } = route.value;
  const loaded = usePage(pageAt(path));
  if (!pageAt(path)) {
    return html`<div class="page"><${Empty} title=${t('nopage')} text=${path}><${Go} to="/">${t('nav.overview')}<//><//></div>`;
  }
  if (loaded.error) {
    return html`<div class="page"><${ErrorNote} error=${loaded.error} title=${t('err.load')} onRetry=${loaded.retry} /></div>`;
  }
  return loaded.module ? html`<${Page} key=${loaded.entry.path} loaded=${loaded} />` : html`<div class="page"></div>`;
}

const NewVersion = () => outdated.value && html`
  <div class="newversion" role="status"><span>${t('newVersion')}</span><${Button} icon="refresh" onClick=${() => location.reload()}>
    ${t('reload')}<//></div>`;

const toMain = (event) => {
  event.preventDefault();
  document.getElementById('main').focus();
};

function Shell() {
  const [menu, setMenu] = useState(false);
  return html`
    <a class="skip" href="#main" onClick=${toMain}>${t('skip')}</a>
    <aside class="side"><${Brand} /><${Nav} /><footer><${LiveDot} /><span class="grow"></span><${Tools} /></footer></aside>
    <header class="topbar"><${Button} icon="menu" kind="ghost" label=${t('menu')} onClick=${() => setMenu(true)} /><${Brand} />
      <span class="grow"></span><${LiveDot} /><${Tools} /></header>
    ${menu && html`<${Drawer} side="left" label=${t('menu')} onClose=${() => setMenu(false)}><${Brand} /><${Nav}
      onGo=${() => setMenu(false)} /><//>`}
    <main id="main" tabindex="-1"><${NewVersion} /><${Content} /></main>
    <${Dock} /><${Palette} /><${Help} />`;
}

// Setup is the first run: the page stands alone, without the shell.
function Setup() {
  const loaded = usePage(setupPage);
  if (loaded.error) return html`<main class="signin" id="main"><${ErrorNote} error=${loaded.error} title=${t('err.load')}
    onRetry=${loaded.retry} /></main>`;
  return html`<main id="main">${loaded.module && html`<${Page} loaded=${loaded} />`}</main>`;
}

function App() {
  const place = phase.value;
  useEffect(() => { if (place === 'out') document.title = `${t('signin')} · Gemini Balance`; });
  const shown = place === 'in' ? Shell : place === 'setup' ? Setup : place === 'out' ? SignIn : null;
  return html`${shown && html`<${shown} />`}<${SessionDialogs} /><${Questions} /><${Toasts} />`;
}

shortcuts({
  ...Object.fromEntries(pages.map((p) => ['g ' + p.key, () => go(p.path)])),
  '?': () => (helpOpen.value = true),
  'mod+k': () => (paletteOpen.value = !paletteOpen.value),
});

function unreachable(error) {
  const again = () => { render(null, document.getElementById('app')); boot(); };
  render(html`<main class="signin" id="main"><${ErrorNote} error=${error} title=${t('err.start')} onRetry=${again} /></main>`,
    document.getElementById('app'));
}

async function boot() {
  const opened = pageAt(route.value.path);
  opened?.load().catch(() => {}); // in parallel with the session
  try { await start(); } catch (error) { unreachable(error); return; }
  render(html`<${App} />`, document.getElementById('app'));
}

await startLang();
startKeyboard();
startEvents();
startJobs();
watchInput();
await boot();
