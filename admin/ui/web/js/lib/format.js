import { lang } from './i18n.js';
import { pref } from './prefs.js';

export const utc = pref('utc', false);

const cached = new Map();
const memo = (key, make) => {
  if (!cached.has(key)) cached.set(key, make());
  return cached.get(key);
};
const formatter = (name, options) => memo(`${name} ${lang.value}`, () => new Intl.NumberFormat(lang.value, options));

const missing = (n) => n === null || n === undefined || Number.isNaN(n);

// short: 1.2K, 3.4M. K, M and B in every language, because quotas are quoted so;
// the full number belongs into the title.
export const short = (n) => (missing(n) ? '–' : memo('short', () =>
  new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })).format(n));
export const full = (n) => (missing(n) ? '–' : formatter('full', {}).format(n));

// pct: a share from 0 to 1 as per cent with d decimals.
export const pct = (x, d = 1) => (missing(x) ? '–' :
  formatter('pct' + d, { style: 'percent', minimumFractionDigits: d, maximumFractionDigits: d }).format(x));

// ms: under a second in ms, under ten seconds with two decimals, then one; minutes from 100 s.
export function ms(n) {
  if (missing(n)) return '–';
  if (n < 999.5) return `${Math.round(n)} ms`;
  if (n < 9995) return `${(n / 1000).toFixed(2)} s`;
  if (n < 99950) return `${(n / 1000).toFixed(1)} s`;
  return left(n);
}

// usd: nano-dollars as dollars. Unknown (null) is a dash, never zero.
export function usd(nano) {
  if (missing(nano)) return '–';
  const value = nano / 1e9;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : size >= 0.01 ? 4 : 6;
  return (value < 0 ? '−$' : '$') + formatter('usd' + digits, { minimumFractionDigits: 2, maximumFractionDigits: digits }).format(size);
}

export function bytes(n) {
  if (missing(n)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const i = n < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(n) / 10));
  return `${(n / 1024 ** i).toFixed(i === 0 || n / 1024 ** i >= 100 ? 0 : 1)} ${units[i]}`;
}

// step: a bucket's length, "5 min", "1 h".
export function step(span) {
  const unit = span < 3600e3 ? 'minute' : span < 86400e3 ? 'hour' : 'day';
  const n = span / { minute: 60e3, hour: 3600e3, day: 86400e3 }[unit];
  return formatter('step' + unit, { style: 'unit', unit, unitDisplay: unit === 'day' ? 'long' : 'short',
    maximumFractionDigits: 1 }).format(n);
}

/** @type {[number, Intl.RelativeTimeFormatUnit, number][]} */
const units = [[60, 'second', 1], [3600, 'minute', 60], [86400, 'hour', 3600], [Infinity, 'day', 86400]];

// ago: "3m ago" in the language in use; in the future "in 3m".
export function ago(iso, at = Date.now()) {
  if (!iso) return '–';
  // The server's clock is known to the second only: what just happened is never in the future.
  let seconds = Math.round((at - Date.parse(iso)) / 1000);
  if (seconds < 0 && seconds > -3) seconds = 0;
  const [, unit, size] = units.find(([limit]) => Math.abs(seconds) < limit);
  const format = memo('ago ' + lang.value, () => new Intl.RelativeTimeFormat(lang.value, { style: 'narrow', numeric: 'always' }));
  return format.format(seconds === 0 ? -0 : -Math.round(seconds / size), unit);
}

// left: a span in ms as "45s", "12m", "6h 11m", "3d 4h". Never negative.
export function left(span) {
  const s = Math.max(0, Math.round(span / 1000));
  const u = lang.value === 'zh-CN' ? { s: ' 秒', m: ' 分钟', h: ' 小时', d: ' 天' } : { s: 's', m: 'm', h: 'h', d: 'd' };
  if (s < 120) return `${s}${u.s}`;
  if (s < 7200) return `${Math.round(s / 60)}${u.m}`;
  const minutes = Math.round(s / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)}${u.h} ${minutes % 60}${u.m}`;
  const hours = Math.round(s / 3600);
  return `${Math.floor(hours / 24)}${u.d} ${hours % 24}${u.h}`;
}

const dateFormat = (name, options) => memo(`date ${name} ${lang.value} ${utc.value}`, () =>
  new Intl.DateTimeFormat(lang.value, { hourCycle: 'h23', timeZone: utc.value ? 'UTC' : undefined, ...options }));

// stamp: date and time to the second; clock: time to the second; day: the date alone.
export const stamp = (iso) => (iso ? dateFormat('stamp', { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(iso)) : '–');
export const clock = (iso) => (iso ? dateFormat('clock', { timeStyle: 'medium' }).format(new Date(iso)) : '–');
export const day = (iso) => (iso ? dateFormat('day', { dateStyle: 'medium' }).format(new Date(iso)) : '–');
// moment: for charts; tick: for their axes.
export const moment = (date) => dateFormat('moment', { weekday: 'short', hour: '2-digit', minute: '2-digit' }).format(date);
export const tick = (date, spanMs) => (spanMs > 2 * 86400e3
  ? dateFormat('tickday', { month: 'short', day: 'numeric' }) : dateFormat('tick', { hour: '2-digit', minute: '2-digit' })).format(date);

// wholeSteps are distances between marks of an axis, in the units of what is counted:
// there is no half a request, and 7.5 ms beside 5 ms would both be rounded.
export const wholeSteps = Array.from({ length: 15 }, (_, k) => [1, 2, 5].map((n) => n * 10 ** k)).flat();

// change: "+3.5 %" of a figure, "−0.06 pp" of a share, with a true minus; "±0" when too small to matter.
export function change(now, before, share = false) {
  if (missing(now) || missing(before) || (!share && before === 0)) return { text: '', sign: 0 };
  const d = share ? now - before : (now - before) / before;
  if (Math.abs(d) < (share ? 0.0005 : 0.005)) return { text: '±0', sign: 0 };
  const size = share ? `${(Math.abs(d) * 100).toFixed(2)} pp` : Math.abs(d) >= 10 ? `${short(Math.abs(d))}×` : pct(Math.abs(d));
  return { text: (d > 0 ? '+' : '−') + size, sign: Math.sign(d) };
}
