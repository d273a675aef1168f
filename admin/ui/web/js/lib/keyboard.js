import { signal, useEffect } from '../vendor/preact.mjs';
import { pref } from './prefs.js';

// Shortcuts. Single letters can be switched off (WCAG 2.1.4) and never fire in
// fields, menus or dialogs. The newest registration of a key wins.

export const letters = pref('shortcuts', true);
export const helpOpen = signal(false);
export const paletteOpen = signal(false);

const stack = []; // [{ keys: { '/': fn } }]

const fields = 'input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]';
const typing = (target) => target instanceof Element && target.closest(fields) !== null;
const covered = () => document.querySelector('dialog[open], [role=menu]:popover-open') !== null;

// keyName is "k", "?", "Escape", "mod+k": mod is Ctrl or ⌘.
export function keyName(event) {
  const mod = event.ctrlKey || event.metaKey ? 'mod+' : '';
  const alt = event.altKey ? 'alt+' : '';
  return mod + alt + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
}

export function shortcuts(keys) {
  const entry = { keys };
  stack.push(entry);
  return () => stack.splice(stack.indexOf(entry), 1);
}

// useShortcuts binds keys for the life of a component: { '/': fn, 'g o': fn }.
export function useShortcuts(keys, deps) {
  useEffect(() => shortcuts(keys), deps);
}

let prefix = '';
let prefixTimer = 0;

const find = (name) => stack.findLast(({ keys }) => keys[name])?.keys[name];

function handle(event) {
  if (event.defaultPrevented || event.isComposing) return;
  const name = keyName(event);
  const modified = name.startsWith('mod+');
  if (!modified && (typing(event.target) || covered() || (!letters.value && event.key.length === 1))) return;
  if (modified && name !== 'mod+k' && typing(event.target)) return;
  const whole = prefix ? `${prefix} ${name}` : name;
  clearTimeout(prefixTimer);
  prefix = '';
  const fn = find(whole) ?? (whole === name ? undefined : find(name));
  if (fn) {
    event.preventDefault();
    fn(event);
  } else if (stack.some(({ keys }) => Object.keys(keys).some((k) => k.startsWith(name + ' ')))) {
    prefix = name;
    prefixTimer = setTimeout(() => (prefix = ''), 1200);
  }
}

export function startKeyboard() { addEventListener('keydown', handle); }
