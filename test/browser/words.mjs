// SPDX-License-Identifier: Apache-2.0
// The pages' own texts, so that a test can press a button in any language; and what
// is left of English where Chinese is spoken.
import { readdirSync } from 'node:fs'

const locale = new URL('../../admin/ui/web/js/locale/', import.meta.url)

/** Reads a language: t(key, params) is the text as the pages have it. */
export async function words(lang) {
  const texts = {}
  for (const file of readdirSync(new URL(lang + '/', locale))) Object.assign(texts, (await import(new URL(`${lang}/${file}`, locale))).default)
  const forms = new Intl.PluralRules(lang)
  return (key, params = {}) => {
    let text = texts[key]
    if (text === undefined) throw new Error(`no text ${key} in ${lang}`)
    if (typeof text === 'object') text = text[forms.select(params.n)] ?? text.other
    return text.replace(/\{(\w+)\}/g, (_, name) => (typeof params[name] === 'number' ? params[name].toLocaleString('en') : params[name]))
  }
}

// Words that stay as they are in Chinese: names, units, abbreviations.
const names = new Set(`API AI Alt CPU CSV Caddy Caddyfile DNS Gemini Balance Go Google ID IP JSON KB KiB MB MiB GB GiB NDJSON OpenAI Anthropic
  OpenAPI OS RPD RPM RPS TPD TPM Shift Ctrl SSE Studio TLS Token TXT UTC URL UTF USD HTTP HTTPS Top p50 p95 ttft curl env schema csv txt json
  admin key AIza caddy anthropic
  ms min thought reasoning content completions chat English Python JavaScript Node Enter Esc SDK Gen Claude Code CLI Cherry Cloud Live`.split(/\s+/))

/** The texts below an element that are no data: those of the server, names and code are. */
const leftover = (page, root) =>
  page.evaluate((selector) => {
    const data = 'code, pre, .mono, [lang], option, kbd, .checklist p, .keyname, .tag, .reason, .note b, .kv dd, .audit td, time, .brand small'
    const found = []
    const top = document.querySelector(selector)
    const keep = (el, text) => /[A-Za-z]{2,}/.test(text) && !el.closest(data.replace('[lang]', '[lang]:not(html)')) && found.push(text.trim())
    const walk = document.createTreeWalker(top, NodeFilter.SHOW_TEXT)
    while (walk.nextNode()) {
      const el = walk.currentNode.parentElement
      if (el.checkVisibility() && !['SCRIPT', 'STYLE'].includes(el.tagName)) keep(el, walk.currentNode.data)
    }
    for (const el of top.querySelectorAll('[aria-label], [title], [placeholder]')) {
      for (const name of ['aria-label', 'title', 'placeholder']) if (el.checkVisibility()) keep(el, el.getAttribute(name) ?? '')
    }
    return [...new Set(found)]
  }, root)

const google = /\d{3} [A-Z_]{4,}.*|\b[A-Z][A-Z_]{5,}\b|\S*[*…]\S*/gs // its own words for what went wrong; patterns of names, ends of keys
const identifier = /(\b[\w-]*[._/:-][\w./:*-]+\b|\b\w*\d\w*\b)/g // model names, paths, hashes, hosts: they have a mark or a digit

/** English words in a Chinese page or a part of it. */
export async function english(page, root = 'body') {
  return (await leftover(page, root)).flatMap((text) =>
    (text.replace(google, ' ').replace(identifier, ' ').match(/[A-Za-z]{2,}/g) ?? []).filter((w) => !names.has(w)).map((w) => `${w} in "${text.slice(0, 80)}"`))
}
