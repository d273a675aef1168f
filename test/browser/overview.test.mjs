// SPDX-License-Identifier: Apache-2.0
// The overview tells what happened, and goes on telling it.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { check, expectFault, gateway, open, settled, until } from './harness.mjs'
import { outcomes, traffic } from './traffic.mjs'

let g, user
before(async () => {
  g = await gateway({ keys: 3, dead: 1 })
  user = await traffic(g)
})

const chart = (page, title) => page.locator('section.chart', { has: page.locator('h2', { hasText: title }) })

/** The table behind a chart: its column heads, and its rows as numbers. */
async function table(page, title) {
  const card = chart(page, title)
  await card.getByRole('button', { name: 'Show as table' }).click()
  const heads = await card.locator('thead th').allTextContents()
  const rows = await card.locator('tbody tr').evaluateAll((all) => all.map((tr) => [...tr.querySelectorAll('td')].slice(1).map((td) => Number(td.textContent))))
  return { heads: heads.slice(1), rows: rows.reverse() } // the newest stands first
}

test('the figures are what Google was asked and what clients got', async () => {
  const asked = (await g.asked()).entries.filter((e) => /enerateContent$/.test(e.path.split('?')[0]))
  const count = (status) => asked.filter((e) => e.status === status).length
  const page = await open(g)
  await settled(page)
  const legend = () => chart(page, 'Requests by outcome').locator('.legend b').allTextContents()
  const whole = (await legend()).map(Number)
  const { heads, rows } = await table(page, 'Requests by outcome')
  assert.deepEqual(heads, ['Failed', 'Client error', 'Retried, then answered', 'Succeeded'])
  const [failed, client, retried, ok] = heads.map((_, i) => rows.reduce((sum, r) => sum + r[i], 0))
  assert.deepEqual(whole, [failed, client, retried, ok], 'the legend has the sums of the span')
  assert.equal(ok + retried, count(200))
  assert.equal(ok + retried, 12)
  assert.equal(retried, 1, 'the request that met the suspended key')
  assert.equal(client, 3)
  assert.equal(failed, 2)
  const overview = await g.api('GET', 'overview?window=24h')
  assert.equal(overview.figures.requests, user.sent)
  // Each attempt is an error of its own; of one request the log keeps eight.
  const attempts = (await g.api('GET', 'requests?class=failed')).items.map((r) => r.attempts)
  assert.equal(attempts.reduce((a, b) => a + b, 0), count(503))
  const kept = attempts.reduce((a, b) => a + Math.min(b, 8), 0)
  const errors = page.locator('section.errors li', { hasText: '503' })
  assert.equal((await errors.first().locator('b').textContent()).trim(), String(kept))
  // The row leads to the requests that met this answer of Google's, whatever the client got.
  const link = new URLSearchParams((await errors.first().locator('a').getAttribute('href')).split('?')[1])
  assert.deepEqual([link.get('code'), link.get('status')], ['503', null])
  const users = page.locator('section.card', { has: page.locator('h2', { hasText: 'Busiest user keys' }) })
  assert.match(await users.locator('tbody tr').first().textContent(), new RegExp(`^a1\\D*${user.sent}`))
  assert.equal((await page.locator('.poollegend li', { hasText: 'Invalid' }).locator('b').textContent()).trim(), String((await g.api('GET', 'keys/gemini?limit=1')).counts.invalid))
  await check(page)
  await page.context().close()
})

test('the tables behind the charts are the API’s series', async () => {
  const page = await open(g, { route: '/?range=1h' })
  await settled(page)
  const longer = (r) => r.url().includes('stats/series') && r.url().includes('window=6h')
  const [answer] = await Promise.all([page.waitForResponse(longer), page.evaluate(() => { location.hash = '#/?range=6h' })])
  const series = await answer.json()
  await settled(page)
  const outcome = await table(page, 'Requests by outcome')
  assert.deepEqual(outcome.rows, series.t.map((_, i) => ['failed', 'client_error', 'retried', 'ok'].map((c) => series[c][i])))
  const tokens = await table(page, 'Tokens')
  assert.deepEqual(tokens.rows.map((r) => r.reduce((a, b) => a + b)), series.t.map((_, i) => series.tokens_in[i] + series.tokens_out[i]))
  assert.ok(tokens.rows.flat().some((n) => n > 0))
  await page.context().close()
})

test('a request moves the figures of an open page', async () => {
  const page = await open(g)
  await settled(page)
  await page.evaluate(() => { window.never = 'reloaded' })
  const figure = page.locator('.kpi', { hasText: 'Requests / min' }).locator('dd b')
  const read = async () => Number((await figure.textContent()).replaceAll(',', ''))
  const before = await until('the figure is live', async () => !Number.isNaN(await read()) && { n: await read() })
  for (let i = 0; i < 20; i++) assert.equal((await g.chat(user.key, 'Hello')).status, 200)
  await until('the figure rises', async () => (await read()) > before.n)
  assert.equal(await page.evaluate(() => window.never), 'reloaded')
  assert.deepEqual(page.faults, [])
  await page.context().close()
})

test('a range is an address, and a part of it can be cut out', async () => {
  const page = await open(g)
  await settled(page)
  const asks = (window) => page.waitForResponse((r) => r.url().includes(`overview?window=${window}`))
  const [answer] = await Promise.all([asks('1h'), page.getByRole('group', { name: 'Time range' }).or(page.getByRole('radiogroup', { name: 'Time range' })).getByText('1 h').click()])
  assert.equal(answer.status(), 200)
  await page.waitForURL(/range=1h/)
  await settled(page)
  const plot = chart(page, 'Requests by outcome').locator('.u-over')
  const box = await plot.boundingBox()
  await page.mouse.move(box.x + box.width * 0.5, box.y + 40)
  await until('the legend has the moment under the pointer', async () => (await chart(page, 'Requests by outcome').locator('.legend b').allTextContents()).every((n) => n === '0'))
  await page.mouse.down()
  await page.mouse.move(box.x + box.width * 0.9, box.y + 60, { steps: 4 })
  await page.mouse.up()
  await page.waitForURL(/from=\d+/)
  const { rows } = await table(page, 'Requests by outcome')
  const { t } = await g.api('GET', 'stats/series?window=1h')
  assert.ok(rows.length > 1 && rows.length < t.length * 0.5, `${rows.length} of ${t.length} rows are left`)
  await Promise.all([asks('24h'), page.getByText('24 h', { exact: true }).click()])
  await until('the part is let go of', () => !page.url().includes('from='))
  await page.context().close()
})

test('a chart follows the theme, and the theme the system', async () => {
  const page = await open(g)
  await settled(page)
  const canvas = chart(page, 'Latency').locator('canvas')
  const look = () => canvas.evaluate((c) => c.toDataURL().length + c.toDataURL().slice(-4000))
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
  const [light, white] = [await look(), await paper()]
  await page.emulateMedia({ colorScheme: 'dark' })
  await until('the page is dark', async () => (await paper()) !== white)
  await until('the chart is repainted', async () => (await look()) !== light)
  await page.getByRole('button', { name: 'Theme' }).last().click()
  await page.getByRole('menuitemradio', { name: 'Light' }).click()
  await until('the choice wins over the system', async () => (await paper()) === white)
  await page.reload()
  assert.equal(await paper(), white, 'from the first paint on')
  await page.context().close()
})

test('a hidden tab lets go of the stream and takes it up again', async () => {
  const page = await open(g, { signIn: false })
  await page.clock.install({ time: new Date() })
  const streams = []
  page.on('request', (r) => r.url().includes('/admin/events') && streams.push(r))
  const over = new Set()
  page.on('requestfailed', (r) => over.add(r))
  page.on('requestfinished', (r) => over.add(r))
  await page.locator('input[type=password]').fill(g.admin)
  await page.keyboard.press('Enter')
  const dot = page.locator('.livedot .dot.on:visible')
  await dot.waitFor()
  const open1 = streams.filter((r) => !over.has(r))
  assert.equal(open1.length, 1)
  const show = (state) => page.evaluate((s) => {
    Object.defineProperty(document, 'visibilityState', { get: () => s, configurable: true })
    Object.defineProperty(document, 'hidden', { get: () => s === 'hidden', configurable: true })
    document.dispatchEvent(new Event('visibilitychange'))
  }, state)
  await show('hidden')
  await page.clock.fastForward(31_000)
  await until('the stream is closed', () => over.has(open1[0]))
  await show('visible')
  await until('there is a new one', () => streams.length === 2)
  await dot.waitFor()
  await page.context().close()
})

test('a restart of the gateway: amber, then live again', async () => {
  const page = await open(g)
  await settled(page)
  expectFault(page, 'ERR_', 'Failed to load')
  await page.locator('.livedot .dot.on:visible').waitFor()
  await g.stop()
  await page.locator('.livedot:visible', { hasText: 'Reconnecting' }).waitFor()
  await g.start()
  const again = page.locator('dialog[open]', { hasText: 'Sign in again' }) // sessions are in memory
  await again.locator('input[type=password]').fill(g.admin)
  await page.keyboard.press('Enter')
  await page.locator('.livedot .dot.on:visible').waitFor()
  const before = await outcomes(g, '24h')
  assert.equal((await g.chat(user.key, 'Hello')).status, 200)
  const answered = (o) => o.ok + o.retried
  await until('the request is counted', async () => answered(await outcomes(g, '24h')) === answered(before) + 1)
  await page.context().close()
})
