// SPDX-License-Identifier: Apache-2.0
// How the pages are served: kept by browsers without going stale, under any path, or
// not at all; and times in any zone.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultless, go, row } from './harness-more.mjs'
import { gateway, open, settled, until } from './harness.mjs'

const admin = 'gemini_balance_admin {\n\t\t\tadmin_key {env.GB_ADMIN_KEY}\n\t\t'
const g = await gateway({ keys: 1, site: `handle_path /tools/gemini/* {\n\t\t${admin}}\n\t}` })
const { key } = await g.api('POST', 'keys/user', { name: 'client' })
await g.chat(key, 'Hello')

test('an update reaches a plain reload: the index is asked for again, all else has the build in its name', async () => {
  const index = await fetch(g.base + '/admin/ui/')
  assert.equal(index.headers.get('cache-control'), 'no-cache')
  const etag = index.headers.get('etag'), html = await index.text()
  const again = await fetch(g.base + '/admin/ui/', { headers: { 'If-None-Match': etag } })
  assert.equal(again.status, 304, 'asking again costs nothing while it is the same')
  const { ui_hash: hash } = await g.api('GET', 'session')
  const named = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map((m) => m[1])
  assert.ok(named.length > 20)
  assert.deepEqual(named.filter((n) => !n.startsWith(hash + '/')), [], 'every file has the build in its path')
  const other = hash.replace(/./g, (c) => (c === '0' ? '1' : '0'))
  assert.equal((await fetch(`${g.base}/admin/ui/${other}/js/main.js`)).status, 404, 'another build is not answered with this one')

  const page = await open(g)
  page.setDefaultTimeout(30_000)
  const got = []
  page.on('response', (r) => got.push(r))
  await page.reload()
  await page.locator('h1').waitFor()
  const assets = got.filter((r) => r.url().includes(`/ui/${hash}/`))
  assert.ok(assets.length > 20)
  for (const r of assets) assert.match((await r.allHeaders())['cache-control'] ?? '', /max-age=31536000, immutable|immutable/, r.url())
  assert.deepEqual(got.filter((r) => /\.(js|mjs|css|svg)$/.test(new URL(r.url()).pathname) && !r.url().includes(`/ui/${hash}/`)).map((r) => r.url()), [])
  const first = got.find((r) => r.url().split('#')[0] === g.base + '/admin/ui/')
  assert.equal(first.fromServiceWorker(), false)
  // What a page does that is open while the gateway is replaced by another build.
  await page.route('**/admin/session', async (route) => {
    const answer = await route.fetch()
    await route.fulfill({ response: answer, json: { ...(await answer.json()), ui_hash: other } })
  })
  await page.evaluate(() => dispatchEvent(new Event('pageshow')))
  await page.reload()
  await page.getByText('The gateway was updated. Reload to use the new version of this page.').waitFor()
  faultless(page)
  await page.context().close()
})

test('the pages work under another prefix', async () => {
  const page = await open({ ...g, base: g.base + '/tools/gemini' })
  page.setDefaultTimeout(30_000)
  const strays = []
  page.on('request', (r) => new URL(r.url()).pathname.startsWith('/tools/gemini/') || r.url().startsWith('data:') || strays.push(r.url()))
  for (const [route, text] of [['/keys', 'AIza'], ['/users', 'client'], ['/requests', 'gemini-2.5-flash']]) {
    await go(page, route)
    await row(page, text).waitFor()
  }
  await go(page, '/settings')
  await page.getByLabel('Attempts', { exact: true }).fill('5')
  await page.locator('.savebar').getByRole('button', { name: 'Save' }).click()
  await until('a change gets through', async () => (await g.api('GET', 'config')).fields['retry.attempts'].value === 5)
  await page.locator('.savebar').waitFor({ state: 'hidden' }) // or leaving would warn
  await go(page, '/')
  await page.locator('.livedot .dot.on').first().waitFor({ state: 'attached' }) // the events, too
  assert.deepEqual(strays, [])
  const [cookie] = (await page.context().cookies()).filter((c) => c.httpOnly)
  assert.ok('/tools/gemini/admin/ui/'.startsWith(cookie.path), `the cookie is for ${cookie.path}`)
  faultless(page)
  await page.context().close()
})

test('ui off: there are no pages, and the API works', async () => {
  const off = await gateway({ keys: 1, admin: 'ui off' })
  for (const path of ['/admin/ui/', '/admin/ui', '/admin/ui/0123456789abcdef/js/main.js']) {
    const headers = { Authorization: `Bearer ${off.admin}`, Accept: 'text/html' }
    assert.equal((await fetch(off.base + path, { headers, redirect: 'manual' })).status, 404, path)
  }
  const page = await open(off, { signIn: false })
  await page.getByText('There is no web UI here: it is switched off (ui off in the Caddyfile)').waitFor()
  await page.context().close()
  assert.equal((await off.api('GET', 'keys/gemini')).total, 1)
  const { key: own } = await off.api('POST', 'keys/user', { name: 'a' })
  assert.equal((await off.chat(own, 'Hello')).status, 200)
  await off.stop()
})

test('the link to the metrics leads to them, or to how to have them', async () => {
  for (const [site, want] of [['metrics /metrics', /^http.*:\d+\/metrics$/], ['', /docs\/observability\.md$/]]) {
    const g = await gateway({ keys: 1, site })
    const page = await open(g, { route: '/about' })
    await settled(page)
    await until(`the link fits ${site || 'a site without metrics'}`, async () => want.test(await page.getByRole('link', { name: 'Metrics' }).getAttribute('href')))
    faultless(page)
    await page.context().close()
    await g.stop()
  }
})

test('times are right in every zone, over a change of the clocks', async () => {
  // Los Angeles: on 1 November 2026 at 09:00 UTC, 01:59:59 is followed by 01:00:00.
  const start = Date.parse('2026-11-01T07:00:00Z'), hours = 5
  const t = Array.from({ length: hours }, (_, i) => new Date(start + i * 3600e3).toISOString())
  const n = t.map((_, i) => i + 1)
  const zones = {
    UTC: ['07:00', '08:00', '09:00', '10:00', '11:00'],
    'Asia/Shanghai': ['15:00', '16:00', '17:00', '18:00', '19:00'],
    'America/Los_Angeles': ['00:00', '01:00', '01:00', '02:00', '03:00'],
  }
  for (const [zone, expected] of Object.entries(zones)) {
    const page = await open(g, { context: { timezoneId: zone } })
    page.setDefaultTimeout(30_000)
    await page.route('**/admin/stats/series*', async (route) => {
      const answer = await route.fetch()
      const series = await answer.json()
      const same = Object.fromEntries(Object.entries(series).filter(([, v]) => Array.isArray(v)).map(([name]) => [name, n]))
      await route.fulfill({ response: answer, json: { ...series, ...same, t, open: false, step_ms: 3600e3 } })
    })
    await page.route('**/admin/requests?*', async (route) => {
      const answer = await route.fetch()
      const list = await answer.json()
      await route.fulfill({ response: answer, json: { ...list, items: t.map((at, i) => ({ ...list.items[0], id: `r${i}`, at })) } })
    })
    await go(page, '/')
    await page.getByRole('button', { name: 'Show as table' }).first().click()
    const table = page.locator('section.chart table').first()
    await table.waitFor()
    const stamps = await table.locator('tbody td:first-child').allTextContents()
    assert.deepEqual(stamps.map((s) => /(\d\d:\d\d):00/.exec(s)?.[1]).reverse(), expected, `${zone}: ${stamps}`)
    assert.match(stamps[0], /2026/)
    await go(page, '/requests')
    await page.locator('tr[data-row]').nth(hours - 1).waitFor()
    assert.deepEqual((await page.locator('tr[data-row] time').allTextContents()).map((s) => s.slice(0, 5)), expected, zone)
    await go(page, '/settings?section=appearance')
    if (zone !== 'UTC') {
      await page.getByRole('radio', { name: 'UTC', exact: true }).click()
      await go(page, '/requests')
      await page.locator('tr[data-row]').nth(hours - 1).waitFor()
      assert.deepEqual((await page.locator('tr[data-row] time').allTextContents()).map((s) => s.slice(0, 5)), zones.UTC, `${zone} set to UTC`)
    }
    faultless(page)
    await page.context().close()
  }
})
