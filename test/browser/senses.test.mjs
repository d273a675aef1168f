// SPDX-License-Identifier: Apache-2.0
// For people who see, move and read otherwise: zoom, spacing, colours of their own,
// no motion, and Chinese without a word of English.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dialog, faultless, go } from './harness-more.mjs'
import { gateway, open } from './harness.mjs'

const g = await gateway({ keys: 3, dead: 1 })
const { key, id: user } = await g.api('POST', 'keys/user', { name: '4711', limits: { rpm: 3, budget: { day: 5 } }, labels: ['12'], note: '34' })
for (let i = 0; i < 5; i++) await (await g.chat(key, i === 1 ? '[[status 400]]' : '1')).text()
const keys = (await g.api('GET', 'keys/gemini')).items
for (const [i, k] of keys.entries()) await g.api('PATCH', `keys/gemini/${k.id}`, { name: `000${i}` })
await g.api('POST', `keys/gemini/${keys[0].id}/disable`)
const page = await open(g)
page.setDefaultTimeout(30_000)

const routes = ['/', '/keys', `/keys?id=${keys[0].id}`, '/users', `/users?id=${user}`, '/models', '/models?tab=aliases', '/requests', '/playground', '/settings', '/settings?section=security',
  '/settings?section=audit', '/settings?section=backup', '/about']
async function visit(p, visitor) {
  for (const route of routes) {
    await go(p, route)
    await p.waitForFunction(() => !document.querySelector('.skeleton, tr.wait'))
    if (route.includes('?id=')) await dialog(p).locator('h3').first().waitFor()
    await visitor(route)
  }
}

/** Text that its own box cuts off, where nothing tells the reader that there is more. */
const cutOff = (p) => p.evaluate(() => [...document.querySelectorAll('h1, h2, h3, label, button, th, legend, dt, dd, p, small, .tag')].filter((el) => {
  if (!el.checkVisibility() || el.closest('.sr, svg, [inert]') || !el.textContent.trim() || el.clientWidth < 2) return false
  const { overflowX, overflowY, textOverflow } = getComputedStyle(el)
  if (textOverflow === 'ellipsis') return false
  const wide = /hidden|clip/.test(overflowX) && el.scrollWidth > el.clientWidth + 1
  const high = /hidden|clip/.test(overflowY) && el.scrollHeight > el.clientHeight + 2
  return wide || high
}).map((el) => `${el.tagName} ${el.className}: ${el.textContent.trim().slice(0, 40)}`))
const sideways = (p) => p.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)

async function holds(p, what) {
  await visit(p, async (route) => {
    assert.ok((await sideways(p)) <= 0, `${what}: ${route} is ${await sideways(p)} px too wide`)
    assert.deepEqual(await cutOff(p), [], `${what}: ${route}`)
  })
}

// 1280 CSS pixels at 200 % and 400 % are these.
for (const [zoom, width, height] of [['200 %', 640, 450], ['400 %', 320, 256]]) {
  test(`${zoom} zoom: nothing is cut off or out of reach`, async () => {
    await page.setViewportSize({ width, height })
    await holds(page, zoom)
    faultless(page)
  })
}

test('spacing of text as WCAG 1.4.12 lets people set it', async () => {
  await page.evaluate(() => {
    const sheet = new CSSStyleSheet()
    sheet.replaceSync('* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }')
    document.adoptedStyleSheets = [sheet]
  })
  await page.setViewportSize({ width: 390, height: 844 }) // where there is least room for it
  await holds(page, 'spacing')
  await page.evaluate(() => { document.adoptedStyleSheets = [] })
  await page.setViewportSize({ width: 1280, height: 900 })
  faultless(page)
})

const moving = () => page.evaluate(() => [...document.querySelectorAll('*')].filter((el) => {
  const s = getComputedStyle(el)
  const long = (list) => list.split(',').some((d) => parseFloat(d) > 0.01)
  return (s.animationName !== 'none' && long(s.animationDuration)) || (s.transitionProperty !== 'none' && long(s.transitionDuration))
}).map((el) => `${el.tagName}.${el.className}`))

/** Marks of state and controls that have the colour of what they stand on. */
const unseen = () => page.evaluate(() => {
  const ground = getComputedStyle(document.body).backgroundColor
  const drawn = (s) => ![ground, 'rgba(0, 0, 0, 0)'].includes(s.backgroundColor) || s.backgroundImage !== 'none' || s.boxShadow !== 'none'
    || (parseFloat(s.borderTopWidth) > 0 && s.borderTopStyle !== 'none' && s.borderTopColor !== ground)
  return [...document.querySelectorAll('.status > i, .outcome > i, .segbar > i, .meter, .switch')]
    .filter((el) => el.checkVisibility() && el.offsetWidth > 0)
    .filter((el) => ![el, ...el.querySelectorAll('*')].some((x) => [undefined, '::before', '::after'].some((pseudo) => drawn(getComputedStyle(x, pseudo)))))
    .map((el) => el.outerHTML.slice(0, 80))
})

test('without motion nothing moves; in colours of their own people see state and focus', async () => {
  await go(page, '/')
  assert.notDeepEqual(await moving(), [], 'the search finds motion where there is some')
  await page.emulateMedia({ reducedMotion: 'reduce', forcedColors: 'active' })
  await visit(page, async (route) => {
    assert.deepEqual(await moving(), [], route)
    assert.deepEqual(await unseen(), [], route)
  })
  await go(page, '/')
  await page.keyboard.press('Tab')
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none')
  await page.emulateMedia({ reducedMotion: 'no-preference', forcedColors: 'none' })
  faultless(page)
})

test('Chinese pages have no English', async () => {
  // Names of products and protocols, units, codes, and what operators and servers call things.
  const allowed = new RegExp(`^(${[
    'Gemini', 'Balance', 'caddy', 'Caddy', 'Caddyfile', 'Google', 'OpenAI', 'Anthropic', 'API', 'APIs', 'SDK', 'JSON', 'CSV', 'HTTP', 'HTTPS', 'TLS', 'URL', 'ID', 'IP', 'UTC', 'USD', 'RPM', 'TPM', 'RPD',
    'Token', 'Tokens', 'Top', 'p50', 'p95', 'ms', 's', 'm', 'h', 'd', 'K', 'M', 'B', 'KiB', 'MiB', 'GiB', 'kB', 'MB', 'GB', 'TB', 'Ctrl', 'Esc', 'Enter', 'Shift', 'Alt', 'Tab', 'OK', 'Webhook', 'English', 'curl', 'Python',
    'JavaScript', 'Go', 'UI', 'SSE', 'DNS', 'CIDR', 'PT', 'p', 'x', 'AI', 'Studio', 'Live', 'GET', 'POST', 'PATCH', 'PUT', 'DELETE', 'admin', 'session', 'AIza', 'gb', 'INVALID', 'ARGUMENT', 'INVALID_ARGUMENT',
  ].join('|')})$`)
  const chinese = await open(g, { lang: 'zh-CN', width: 1280 })
  chinese.setDefaultTimeout(30_000)
  await chinese.locator('h1').waitFor()
  const words = () => chinese.evaluate(() => {
    const out = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let n = walker.nextNode(); n; n = walker.nextNode()) {
      const at = n.parentElement
      if (!at.closest('code, pre, .mono, time, script, style, textarea, [lang], .audit, datalist, .tag, .kv code')) out.push(n.data)
    }
    for (const el of document.querySelectorAll('[aria-label], [title], [placeholder], [alt]')) {
      if (el.closest('.mono, code, pre, time, td, .audit') || el.matches('svg *')) continue
      for (const name of ['aria-label', 'placeholder', 'alt']) if (el.getAttribute(name)) out.push(el.getAttribute(name))
    }
    return [...out, document.title]
  })
  await visit(chinese, async (route) => {
    const english = [...new Set((await words()).flatMap((text) => (/[.:/_=*]\w/.test(text) && !/\s/.test(text.trim()) ? [] : text.match(/[A-Za-z][A-Za-z]{2,}/g) ?? [])))].filter((w) => !allowed.test(w))
    assert.deepEqual(english, [], route)
  })
  faultless(chinese)
  await chinese.context().close()
})
