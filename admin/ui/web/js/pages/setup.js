import { html, useEffect, useRef, useState } from '../vendor/preact.mjs';
import { api, loopback } from '../lib/api.js';
import { loadTexts, t } from '../lib/i18n.js';
import { go } from '../lib/route.js';
import { adoptNew, phase } from '../lib/session.js';
import { LanguageMenu, ThemeMenu } from '../shell/nav.js';
import { ErrorNote, Icon, Note, Skeleton } from '../ui/parts.js';
import { sheet } from '../ui/sheet.js';
import { AdminKey, GeminiKeys, TryIt, UserKey } from './setup/steps.js';

// The test shows an answer as the playground does.
await Promise.all([sheet('setup'), sheet('playground'), loadTexts('playground')]);

export const title = () => t('nav.setup');

const steps = ['admin', 'keys', 'user', 'try'];

// firstStep is where to begin: what exists is not asked for again. Without a session
// the server does not tell what exists, and only the token leads on.
const firstStep = (found) => (found.gemini_keys === undefined ? 0 : !found.gemini_keys ? 1 : !found.user_keys ? 2 : 3);

const Steps = ({ at }) => html`<ol class="steps" aria-label=${t('setup.steps')}>${steps.map((name, i) => html`
  <li key=${name} class=${i < at ? 'past' : i === at ? 'now' : undefined} aria-current=${i === at ? 'step' : undefined}>
    <span>${i < at ? html`<${Icon} name="check" size=${13} />` : i + 1}</span>${t('setup.step.' + name)}</li>`)}</ol>`;

export function Page() {
  const [found, setFound] = useState(null), [error, setError] = useState(null), [at, setAt] = useState(0),
    [adminKey, setAdminKey] = useState(''), [user, setUser] = useState(null);
  const head = useRef();
  const load = () => api('setup', { plain: true }).then((x) => { setFound(x); setAt(firstStep(x)); setError(null); }, setError);
  useEffect(() => { load(); }, []);
  useEffect(() => { if (found) head.current?.focus(); }, [at]);
  // With a session the server says what else exists already.
  const next = async () => {
    if (at === 0) setAdminKey('');
    const now = at === 0 ? await api('setup', { plain: true }).catch(() => found) : null;
    setAt(now ? Math.max(1, firstStep(now)) : at + 1);
  };
  const done = async () => {
    setUser(null);
    if (phase.value !== 'in') await adoptNew();
    go('/');
  };
  const name = steps[at];
  return html`<div class=${'setup' + (phase.value === 'in' ? '' : ' alone')}>
    <header><h1 tabindex="-1" ref=${head}>${t('setup.title')}</h1><span class="grow"></span>${phase.value !== 'in'
      && html`<${ThemeMenu} /><${LanguageMenu} />`}</header>
    <${Steps} at=${at} />
    ${found && !found.tls && !loopback && at === 0 && html`<${Note} kind="warn">${t('signin.plain')}<//>`}
    ${error && html`<${ErrorNote} error=${error} onRetry=${load} />`}
    ${!found && !error && html`<${Skeleton} height=${260} />`}
    ${found && html`<section class="card stepcard" aria-label=${t('setup.step.' + name)}><h2>${t('setup.step.' + name)}</h2>
      ${name === 'admin' && html`<${AdminKey} made=${adminKey} onMade=${setAdminKey} onNext=${next} />`}
      ${name === 'keys' && html`<${GeminiKeys} onNext=${next} />`}
      ${name === 'user' && html`<${UserKey} made=${user} onMade=${setUser} onNext=${next} />`}
      ${name === 'try' && html`<${TryIt} made=${user} onDone=${done} />`}</section>`}</div>`;
}
