import { signal } from '../vendor/preact.mjs';

// The server speaks English. In another language its sentences are looked up in
// locale/server.<language>.js; what is not there stays as it is.
const table = signal(null);

export async function loadServerTexts(language) {
  table.value = language === 'en' ? null : await import(`../locale/server.${language}.js`);
}

function known(text) {
  if (!table.value || !text) return undefined;
  const exact = table.value.words[text];
  if (exact !== undefined) return exact;
  const form = table.value.forms.find(([pattern]) => pattern.test(text));
  return form && text.replace(form[0], form[1]);
}

// said is a sentence of the server in the language in use.
export const said = (text) => known(text) ?? text;

// saidProblem is a problem's detail: by its words, else by its code, else as it is.
export function saidProblem(code, detail) {
  return known(detail) ?? before(table.value?.codes[code], detail) ?? detail;
}

// A text that ends in a colon goes before the server's words.
const before = (text, words) => (text?.endsWith('：') ? text + (words ?? '') : text);

// saidField is what is wrong with a field.
export const saidField = (code, message) => known(message) ?? before(table.value?.fields[code], message) ?? message ?? code;
