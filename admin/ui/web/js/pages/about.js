import { html } from '../vendor/preact.mjs';
import { t } from '../lib/i18n.js';
import { PageHead } from '../ui/parts.js';

export const title = () => t('nav.about');
export const Page = () => html`<div class="page"><${PageHead} title=${title()} /></div>`;
