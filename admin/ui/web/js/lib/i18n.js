import { signal } from '../vendor/preact.mjs';
import core from '../locale/en/core.js';
import { pref } from './prefs.js';
import { loadServerTexts } from './servertext.js';

// Texts come in parts: core, and one per page. A part is loaded in the language
// in use only; switching loads the same parts in the other language first, so
// that no half-translated page is ever shown.

export const languages = [['en', 'English'], ['zh-CN', '简体中文']];
export const lang = signal('en');

const dictionary = signal({ ...core });
const parts = new Set(['core']);
const saved = pref('lang', null);
const pluralRules = new Map();
const numbers = new Map();

const importPart = async (language, part) => (await import(`../locale/${language}/${part}.js`)).default;

const memo = (map, key, make) => {
  if (!map.has(key)) map.set(key, make());
  return map.get(key);
};

// t('keys.count', { n: 3 }): {n} is replaced, numbers are formatted; an object
// value is chosen by the plural rule of n. An unknown key shows itself.
export function t(key, args) {
  let text = dictionary.value[key] ?? key;
  const language = lang.value;
  if (typeof text === 'object') {
    const rules = memo(pluralRules, language, () => new Intl.PluralRules(language));
    text = text[rules.select(args.n)] ?? text.other;
  }
  if (!args) return text;
  const number = memo(numbers, language, () => new Intl.NumberFormat(language));
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof args[name] === 'number' ? number.format(args[name]) : args[name] ?? ''));
}

// has tells whether a text exists, for codes that the server may add.
export const has = (key) => dictionary.value[key] !== undefined;

// loadTexts adds a page's part in the language in use.
export async function loadTexts(part) {
  if (parts.has(part)) return;
  const texts = await importPart(lang.value, part);
  parts.add(part);
  dictionary.value = { ...dictionary.value, ...texts };
}

async function apply(language) {
  const loaded = await Promise.all([...parts].map((part) => (language === 'en' && part === 'core' ? core : importPart(language, part))));
  await loadServerTexts(language);
  dictionary.value = Object.assign({}, ...loaded);
  lang.value = language;
  document.documentElement.lang = language;
}

export async function setLang(language) {
  await apply(language);
  saved.value = language;
}

// startLang takes the saved language, else the browser's first of ours.
export async function startLang() {
  const wanted = saved.value ?? navigator.languages.find((l) => /^(zh|en)/i.test(l)) ?? 'en';
  const language = /^zh/i.test(wanted) ? 'zh-CN' : 'en';
  document.documentElement.lang = language;
  if (language !== 'en') await apply(language);
}
