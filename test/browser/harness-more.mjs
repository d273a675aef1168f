// SPDX-License-Identifier: Apache-2.0
// What the tests of the pages behind the overview share.
import assert from 'node:assert/strict'
import { until } from './harness.mjs'

// The browser itself writes a line for every answer that is no success; whether it was
// meant is for the test that caused it to say.
const said = (text) => !/Failed to load resource/.test(text)

/** Exceptions, warnings and violations of the policy since the last call. */
export function faultless(page) {
  const faults = page.faults.splice(0).filter(said)
  assert.deepEqual(faults, [])
}

/**
 * Shows a route of the page that is open, read anew. The document stays, as for
 * somebody who uses the links: loading it again costs a second where there are few cores.
 */
export async function go(page, route) {
  await page.evaluate(() => (location.hash = '#/between'))
  await page.getByText(/^(There is no such page|没有此页面)$/).waitFor()
  await page.evaluate((r) => (location.hash = '#' + r), route)
  await page.locator('h1').waitFor()
}

/** The newest open dialog or drawer. */
export const dialog = (page) => page.locator('dialog[open]').last()

export const noDialog = (page) =>
  page.waitForFunction(() => !document.querySelector('dialog[open]')).catch(async (e) => {
    throw new Error(`still open: ${await dialog(page).textContent()}`, { cause: e })
  })

export const toast = (page, text) => page.locator('.toast', { hasText: text }).first()

export const row = (page, text) => page.locator('tr[data-row]', { hasText: text }).first()

/** Chooses an item of a row's menu. */
export async function choose(page, name, item) {
  await row(page, name).locator('[data-menu]').click()
  await page.getByRole('menuitem', { name: item, exact: true }).click()
}

/** Confirms with the admin key, where the page asks for it. */
export async function confirmSudo(page, g) {
  const field = page.locator('dialog[open] input[type=password]')
  await field.fill(g.admin)
  await field.press('Enter')
}

/** All answers that a page gets from now on: [{url, text}]. */
export function answers(page) {
  const got = []
  page.on('response', async (r) => {
    if (!new URL(r.url()).pathname.includes('/admin/') || /\.(js|mjs|css|svg)$/.test(new URL(r.url()).pathname)) return
    const type = r.headers()['content-type'] ?? ''
    if (/event-stream/.test(type)) return
    got.push({ url: r.url(), text: await r.text().catch(() => '') })
  })
  return got
}

/** Wherever a page could have kept a value: what is found is returned. */
export const traces = (page, value) =>
  page.evaluate(async (v) => {
    const fields = [...document.querySelectorAll('input, textarea, select')].map((e) => e.value)
    const stores = { ...localStorage, ...sessionStorage }
    const places = {
      document: document.documentElement.outerHTML, fields: fields.join('\n'), title: document.title, address: location.href,
      storage: JSON.stringify(stores), cookies: document.cookie, state: JSON.stringify(history.state), name: window.name,
    }
    const found = Object.keys(places).filter((p) => places[p]?.includes(v))
    for (const name of (await globalThis.caches?.keys()) ?? []) found.push(`cache ${name}`)
    for (const db of await indexedDB.databases()) found.push(`database ${db.name}`)
    return found
  }, value)

/**
 * Holds an open dialog to its duties: it has a name, the focus is in it and stays in
 * it both ways, Esc closes it, and the focus goes back to where it was before.
 * @param {string} back a selector of the element that must have the focus afterwards
 */
export async function checkDialog(page, back) {
  const d = dialog(page)
  await d.waitFor()
  const name = await d.evaluate((el) => {
    const ids = (el.getAttribute('aria-labelledby') ?? '').split(' ').filter(Boolean)
    return ids.map((id) => document.getElementById(id)?.textContent ?? '').join(' ').trim() || el.getAttribute('aria-label') || ''
  })
  assert.notEqual(name, '', 'a dialog has no name')
  const inside = () => d.evaluate((el) => el.matches(':modal') && (el.contains(document.activeElement) || document.activeElement === document.body))
  const stand = (last) => d.evaluate((el, end) => {
    const all = [...el.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
      .filter((x) => !x.disabled && x.tabIndex >= 0 && x.checkVisibility())
    all.at(end ? -1 : 0).focus()
    return el.contains(document.activeElement)
  }, last)
  assert.ok(await d.evaluate((el) => el.contains(document.activeElement)), `${name}: the focus is not inside`)
  for (const [key, last] of [['Tab', true], ['Shift+Tab', false]]) {
    assert.ok(await stand(last), `${name}: nothing in it takes the focus`)
    for (let i = 0; i < 3; i++) { // once or twice may be the browser's own place between the last and the first
      await page.keyboard.press(key)
      assert.ok(await inside(), `${name}: ${key} leads out of it`)
      if (i > 0 && (await d.evaluate((el) => el.contains(document.activeElement)))) break
    }
    assert.ok(await d.evaluate((el) => el.contains(document.activeElement)), `${name}: ${key} does not come round`)
  }
  const before = await page.locator('dialog[open]').count()
  await page.keyboard.press('Escape')
  await until(`${name} closes`, async () => (await page.locator('dialog[open]').count()) < before)
  await until(`the focus is back at ${back} after ${name}`, () => page.evaluate((s) => document.activeElement?.matches(s), back))
  return name
}
