import { said } from '../../lib/servertext.js';

// readKey is a key of the API with every list there, so that nothing else has to ask.
export const readKey = (k) => ({
  ...k,
  name: k.name ?? '', note: k.note ?? '', project: k.project ?? '', reason: said(k.reason ?? ''), advice: said(k.advice ?? ''),
  tags: k.tags ?? [], models: k.models ?? [], hours: k.hours ?? [],
  locked: k.locked ?? [], status: k.status ?? k.state,
});

// readList does so for a page of keys.
export const readList = (answer) => ({ ...answer, items: answer.items.map(readKey) });
