// SPDX-License-Identifier: Apache-2.0
// One Chromium for a test file, gateways on demand, and what every page is held to:
// no console error, no violation of the content security policy, nothing that axe
// calls serious, no sideways scrolling, title and language that fit.
import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { after } from 'node:test'
import { chromium } from 'playwright-core'

const { GB_CONTROL, GB_CHROMIUM, GB_SHOTS } = process.env
assert.ok(GB_CONTROL && GB_CHROMIUM && GB_SHOTS, 'run by go test in test/browser, or with make browser')

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const browser = await chromium.launch({
  executablePath: GB_CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
after(() => browser.close())

const patience = 60_000 // of a machine that has other work, too; nothing waits for it to pass

async function control(method, at, body) {
  const r = await fetch(GB_CONTROL + at, { method, body: body && JSON.stringify(body) })
  const text = await r.text()
  assert.ok(r.ok, `${method} ${at}: ${text}`)
  return JSON.parse(text)
}

/** Starts a gateway; see the options in control_test.go. */
export async function gateway(options = {}) {
  const g = await control('POST', '/gateways', options)
  const at = `/gateways/${g.id}`
  const own = {
    ...g,
    stop: () => control('POST', `${at}/stop`),
    kill: () => control('POST', `${at}/kill`),
    start: () => control('POST', `${at}/start`),
    reload: (changes) => control('POST', `${at}/reload`, changes),
    log: () => control('GET', `${at}/log`),
    asked: () => control('GET', `${at}/google`),
    setKey: (secret, state) => control('POST', `${at}/google`, { secret, state }),

    /** The admin API by script, with the admin key. */
    async api(method, route, body, { status, headers } = {}) {
      const r = await fetch(g.base + '/admin/' + route, {
        method,
        headers: { Authorization: `Bearer ${own.admin}`, ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      })
      const text = await r.text()
      if (status) assert.equal(r.status, status, text)
      else assert.ok(r.ok, `${method} ${route}: ${r.status} ${text}`)
      return text && r.headers.get('content-type')?.includes('json') ? JSON.parse(text) : text
    },

    /** A chat completion by a user key. */
    chat: (key, text, more = {}) =>
      fetch(g.base + '/v1/chat/completions', {
        method: 'POST',
        headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ model: 'gemini-2.5-flash', messages: [{ role: 'user', content: text }], ...more }),
      }),
  }
  return own
}

/** Faults that a test wants to see, by a part of their text. */
const wanted = new WeakMap()

/**
 * Opens a page of its own profile on the admin UI.
 * @param {{width?: number, theme?: 'light'|'dark', lang?: 'en'|'zh-CN', route?: string, signIn?: boolean}} o
 */
export async function open(g, { width = 1280, theme = 'light', lang = 'en', route = '/', signIn = true, context: more = {} } = {}) {
  const context = await browser.newContext({
    viewport: { width, height: width < 720 ? 844 : 900 },
    colorScheme: theme,
    locale: lang,
    timezoneId: 'UTC',
    ignoreHTTPSErrors: true,
    bypassCSP: false,
    hasTouch: width < 720,
    ...more,
  })
  context.setDefaultTimeout(patience)
  const page = await context.newPage()
  const faults = []
  wanted.set(page, [])
  const fault = (text) => wanted.get(page).some((w) => text.includes(w)) || faults.push(text)
  // A page learns from 401 that nobody is signed in yet, which Chromium writes to the console.
  const guest = (m) => m.text().includes('401') && m.location().url.endsWith('/admin/session')
  page.on('console', (m) => !guest(m) && (m.type() === 'error' || m.type() === 'warning') && fault(`console ${m.type()}: ${m.text()} (${m.location().url})`))
  page.on('pageerror', (e) => fault(`exception: ${e.stack}`))
  page.on('dialog', (d) => d.type() === 'beforeunload' && d.accept())
  page.faults = faults
  await page.goto(`${g.base}/admin/ui/#${route}`)
  if (signIn) await enter(page, g.admin)
  return page
}

/** Lets a test cause what is a fault everywhere else, such as a 401 in the console. */
export const expectFault = (page, ...texts) => wanted.get(page).push(...texts)

/** Signs in as a person does. */
export async function enter(page, key) {
  const field = page.locator('input[type=password]').first()
  await field.waitFor()
  await field.fill(key)
  await field.press('Enter')
  await page.locator('nav.nav:visible, header.topbar:visible').first().waitFor()
}

/** What every page is held to, in the state that it is in; axe looks at all of it, or within an element. */
export async function check(page, { lang = 'en', title, accessible = true, within } = {}) {
  assert.deepEqual(page.faults, [])
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
  assert.ok(overflow <= 0, `the page is ${overflow} px wider than the window`)
  assert.equal(await page.evaluate(() => document.documentElement.lang), lang)
  if (title) assert.match(await page.title(), title)
  if (accessible) assert.deepEqual(await violations(page, within), [])
}

const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** What axe finds serious or critical. */
async function violations(page, within) {
  // Once per document; the policy does not hold for what the debugger runs.
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(axe)
  const options = { within, runOnly: rules, resultTypes: ['violations'], preload: false, iframes: false }
  const found = await page.evaluate(async ({ within: part, ...o }) => (await window.axe.run(part ? { include: [part] } : document, o)).violations.map((v) => ({ ...v, nodes: v.nodes.map((n) => n.html) })), options)
  return found
    .filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map((v) => `${v.id} (${v.impact}): ${v.nodes.slice(0, 3).map((html) => html.slice(0, 160)).join(' | ')}`)
}

/** Keeps a screenshot in build/screenshots. */
export async function shot(page, name) {
  await mkdir(GB_SHOTS, { recursive: true })
  await page.screenshot({ path: path.join(GB_SHOTS, `${name}.png`), animations: 'disabled' })
}

/** All looks that each page is opened in. */
export const looks = [1280, 390].flatMap((width) =>
  ['light', 'dark'].flatMap((theme) => ['en', 'zh-CN'].map((lang) => ({ width, theme, lang, name: `${width}-${theme}-${lang}` }))),
)

/** Waits until a condition holds, without guessing how long that takes. */
export async function until(what, condition, ms = patience) {
  const end = Date.now() + ms
  for (;;) {
    const value = await condition()
    if (value) return value
    assert.ok(Date.now() < end, `not in time: ${what}`)
    await new Promise((r) => setTimeout(r, 25))
  }
}

/** Waits until nothing on the page waits for the gateway any more. */
export async function settled(page) {
  await page.waitForFunction(() => {
    const page = document.querySelector('.page, .setup, .signin')
    if (document.getAnimations().some((a) => a instanceof CSSTransition && a.playState === 'running')) return false // colours between two themes
    return page && page.children.length > 0 && !document.querySelector('.skeleton, .card:empty, .stale, tr.wait, [aria-busy=true], .nav a[aria-current]:not([href])')
  })
  await page.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))))
}
