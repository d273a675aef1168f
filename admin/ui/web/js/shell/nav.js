import { html } from '../vendor/preact.mjs';
import { online } from '../lib/events.js';
import { lang, languages, setLang, t } from '../lib/i18n.js';
import { helpOpen, paletteOpen } from '../lib/keyboard.js';
import { href, route } from '../lib/route.js';
import { session, signOut, sudoLeft } from '../lib/session.js';
import { choice, setTheme } from '../lib/theme.js';
import { left } from '../lib/format.js';
import { pages } from '../pages/index.js';
import { MenuButton } from '../ui/menu.js';
import { Button, Icon } from '../ui/parts.js';
import { attempt } from '../ui/toast.js';

const groups = [undefined, 'pool', 'access', 'traffic', 'system'];

export const Brand = () => html`
  <a class="brand" href="#/">
    <img src=${new URL('../../icon.svg', import.meta.url).href} alt="" width="24" height="24" />
    <span><b>Gemini Balance</b>${session.value && html`<small>caddy · ${session.value.version}</small>`}</span>
  </a>`;

const Item = ({ page, onGo }) => html`
  <li><a href=${href(page.path)} aria-current=${route.value.path === page.path ? 'page' : undefined} onClick=${onGo}>
    <${Icon} name=${page.icon} />${t('nav.' + page.name)}</a></li>`;

export const Nav = ({ onGo }) => html`
  <nav class="nav" aria-label=${t('nav')}>
    ${groups.map((group) => html`
      <div key=${group}>${group && html`<h2>${t('nav.' + group)}</h2>`}
        <ul>${pages.filter((p) => p.group === group).map((p) => html`<${Item} key=${p.path} page=${p} onGo=${onGo} />`)}</ul></div>`)}
  </nav>`;

const themes = { auto: 'monitor', light: 'sun', dark: 'moon' };

export const ThemeMenu = () => html`
  <${MenuButton} icon=${themes[choice.value]} label=${t('theme')} items=${() => Object.keys(themes).map((v) => ({
    text: t('theme.' + v), checked: choice.value === v, act: () => setTheme(v),
  }))} />`;

export const LanguageMenu = () => html`
  <${MenuButton} icon="globe" label=${t('language')} items=${() => languages.map(([code, text]) => ({
    text, lang: code, checked: lang.value === code, act: () => attempt(() => setLang(code)),
  }))} />`;

const AccountMenu = () => html`
  <${MenuButton} icon="user" label=${t('account')} items=${() => [
    { text: t('palette'), icon: 'palette', hint: 'Ctrl K', act: () => (paletteOpen.value = true) },
    { text: t('help'), icon: 'keyboard', hint: '?', act: () => (helpOpen.value = true) },
    null,
    { text: t('signOut'), icon: 'logout', act: () => attempt(signOut) },
  ]} />`;

export const Tools = () => html`
  ${sudoLeft.value > 0 && html`<span class="sudo" title=${t('sudo.left', { t: left(sudoLeft.value) })}><${Icon} name="unlock" size=${14} />
    <small>${left(sudoLeft.value)}</small></span>`}
  <${ThemeMenu} /><${LanguageMenu} /><${AccountMenu} />`;

// LiveDot: green while the stream is open, amber while it is being opened again.
export const LiveDot = () => html`
  <span class="livedot"><span class=${'dot ' + (online.value ? 'on' : '')}></span>
    <span role="status">${t(online.value ? 'live' : 'live.off')}</span></span>`;
