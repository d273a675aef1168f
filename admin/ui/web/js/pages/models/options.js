// What can be set for a model and for an alias, as it is typed and as it is sent. No DOM.
import { nanos } from '../../lib/money.js';

// sent is the operator's list of aliases as the server takes it, with the options of each.
export const sent = (list) => list.map(({ name, targets, listed, thinking_budget, search }) => ({ name, targets,
  listed: listed !== false, thinking_budget: thinking_budget ?? undefined, search: search || undefined }));

// thoughts is the choice that a thinking budget stands for: unset, few, free, or a number
// of tokens (NaN while it is still to be typed).
export const thoughts = (budget) => (budget === null || budget === undefined ? 'unset' : budget === 0 ? 'few' : budget === -1 ? 'free'
  : 'tokens');
export const budgetOf = { unset: null, few: 0, free: -1, tokens: NaN };

// thinkingHelp is what a model takes, as a text and its values.
export function thinkingHelp(thinking) {
  if (!thinking) return ['none', {}];
  if (thinking.by === 'level') return ['levels', { levels: thinking.levels.join(', ') }];
  const { min, max, off } = thinking;
  if (!off) return ['always', { min, max }];
  return min > 1 ? ['off', { min, max }] : ['range', { max }];
}

// How a typed text reads: null for nothing, undefined for what is no such value.
const orNone = (read) => (text) => (text === '' ? null : read(text));
const within = (n, min, max) => (n >= min && n <= max ? n : undefined);

// whole reads a count, also with the commas or spaces of thousands.
const whole = (min, max) => orNone((text) => {
  const digits = text.replace(/[,，\s]/g, '');
  return /^\d{1,15}$/.test(digits) ? within(Number(digits), min, max) : undefined;
});
export const readTokens = whole(1, 1_000_000);
export const readLimit = whole(1, 1e12);
export const readSeconds = orNone((text) => (/^\d{1,5}(\.\d{1,3})?$/.test(text) ? within(Math.round(Number(text) * 1000), 100, 86_400_000)
  : undefined));

// readPrice reads dollars for a million tokens.
export const readPrice = orNone((text) => within(nanos(text), 0, 1e12));

// priceOf is the price that three typed amounts make: null for none, undefined while one
// is missing that must be there.
export function priceOf({ input_nano_per_mtok: input, cached_nano_per_mtok: cached, output_nano_per_mtok: output }) {
  const have = (n) => n !== null && n !== undefined;
  if (!have(input) && !have(cached) && !have(output)) return null;
  if (!have(input) || !have(output)) return undefined;
  return { input_nano_per_mtok: input, cached_nano_per_mtok: cached ?? null, output_nano_per_mtok: output };
}
