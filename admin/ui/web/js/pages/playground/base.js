import { root } from '../../lib/api.js';

// gateway is the address of the API as far as the browser knows it: where this
// page's /admin stands. No slash at the end.
export const gateway = new URL('..', root).href.replace(/\/$/, '');
