import { computed, signal } from '../vendor/preact.mjs';
import { pref } from './prefs.js';

// choice is what the user picked (auto, light, dark); theme is what is shown.
export const choice = pref('theme', 'auto');

const media = globalThis.matchMedia?.('(prefers-color-scheme: dark)');
const systemDark = signal(media?.matches ?? false);
media?.addEventListener('change', () => (systemDark.value = media.matches));

export const theme = computed(() => {
  if (choice.value === 'light' || choice.value === 'dark') return choice.value;
  return systemDark.value ? 'dark' : 'light';
});

export function setTheme(value) {
  const { dataset } = document.documentElement;
  if (value === 'auto') delete dataset.theme;
  else dataset.theme = value;
  choice.value = value;
}
