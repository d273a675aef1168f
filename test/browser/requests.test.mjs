// SPDX-License-Identifier: Apache-2.0
// The request log: what is found, what is exported, what is live, and what is not kept.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { checkDialog, dialog, faultless, go } from './harness-more.mjs'
import { gateway, open, until } from './harness.mjs'

// idOf is the id of a Gemini key.
const idOf = (secret) => `gk_${createHash('sha256').update(secret).digest('hex').slice(0, 12)}`

const g = await gateway({ keys: 1, dead: 2, app: 'probe off' })
const { key, id: user } = await g.api('POST', 'keys/user', { name: 'client', unlimited: true })
await g.api('PATCH', 'config', { 'retry.wait': '0s' }) // a failure shall be told at once
const page = await open(g, { route: '/requests' })
page.setDefaultTimeout(30_000)

const logged = (query = '') => g.api('GET', 'requests?limit=500' + query)
const chip = (text) => page.locator('.chip', { hasText: text })
const count = async (n) => page.locator('.logcard .count', { hasText: new RegExp(`^${n} requests?$`) }).waitFor()

async function filter(name, value) {
  await page.getByRole('button', { name: 'Add filter' }).click()
  await page.getByRole('menuitem', { name, exact: true }).click()
  const form = page.locator('.chipform')
  if (await form.locator('select').count()) await form.locator('select').selectOption(value)
  else await form.locator('input').fill(value)
  await form.getByRole('button', { name: 'Apply' }).click()
}

test('the attempts of a request that was retried twice', async () => {
  // The one that was used least is tried first: those that Google refuses.
  const bad = []
  for (const secret of g.keys.slice(1)) bad.push(idOf(secret))
  const all = async (act) => { for (const id of bad) await g.api('POST', `keys/gemini/${id}/${act}`) }
  await all('disable')
  for (let i = 0; i < 3; i++) assert.equal((await g.chat(key, 'Hello')).status, 200)
  await g.api('PATCH', 'config', { strategy: 'least_used' })
  const found = await until('a request with three attempts', async () => {
    await all('enable')
    await all('reset')
    assert.equal((await g.chat(key, 'Hello')).status, 200)
    return (await logged('&min_attempts=3')).items[0]
  }, 30_000)
  assert.equal(found.attempts, 3)
  await go(page, `/requests?id=${found.id}`)
  const tries = dialog(page).locator('.tries li')
  await tries.nth(2).waitFor()
  assert.deepEqual(await tries.evaluateAll((all) => all.map((li) => li.className)), ['bad', 'bad', 'good'])
  assert.deepEqual(await tries.locator('.code').allTextContents(), ['400', '400', '200'])
  const links = await tries.locator('a.mono').evaluateAll((all) => all.map((a) => a.getAttribute('href')))
  assert.equal(new Set(links).size, 3, 'three keys')
  const at = await tries.locator('.trace i').evaluateAll((all) => all.map((i) => i.getBoundingClientRect().left))
  assert.ok(at[0] <= at[1] && at[1] <= at[2], `in order of time: ${at}`)
  assert.ok(!(await page.content()).includes(g.keys[1]), 'a Gemini key is never shown')
  await page.keyboard.press('Escape')
  faultless(page)
})

test('filters narrow the list, and stand in the address', async () => {
  for (const text of ['[[status 400]]', '[[status 400]]', '[[status 503]]']) await g.chat(key, text)
  await fetch(g.base + '/v1/messages', { method: 'POST', headers: { 'x-api-key': key, 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'gemini-2.5-flash', max_tokens: 9, messages: [{ role: 'user', content: 'Hi' }] }) })
  await g.api('POST', `keys/gemini/${idOf(g.keys[0])}/reset`) // it rests after 503
  await until('all are logged', async () => (await logged('&class=client_error')).items.length === 2 && (await logged('&dialect=anthropic')).items.length === 1
    && (await logged('&class=failed')).items.length === 1)
  const all = (await logged()).items.length
  await go(page, '/requests')
  await count(all)
  await filter('Outcome', 'client_error')
  await count(2)
  await filter('Status', '503')
  await page.getByText('No request matches').waitFor()
  await page.getByRole('button', { name: 'Remove filter: Outcome' }).click()
  await count(1)
  assert.match(page.url(), /status=503/)
  await page.reload()
  await count(1)
  await chip('503').waitFor()
  await page.getByRole('button', { name: 'Remove filter: Status' }).click()
  await count(all)
  await filter('Status', '42')
  await page.getByText('This value does not fit. 100–599').waitFor()
  await page.locator('.chipform').getByRole('button', { name: 'Cancel' }).click()

  await go(page, `/requests?dialect=anthropic&user=${user}`)
  await count(1)
  await go(page, '/requests?min_attempts=3')
  await count((await logged('&min_attempts=3')).items.length)
  faultless(page)
})

test('the export has the rows that the list has', async () => {
  await go(page, '/requests?class=client_error')
  await count(2)
  for (const [item, rows] of [[/CSV/, (text) => text.trimEnd().split('\n').length - 1], [/JSON lines/, (text) => text.trimEnd().split('\n').map((l) => JSON.parse(l)).length]]) {
    await page.getByRole('button', { name: 'Export' }).click()
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: item }).click()])
    assert.equal(rows(await readFile(await download.path(), 'utf8')), 2)
  }
  faultless(page)
})

test('live rows come, stand still when asked, and are samples when there are many', async () => {
  await go(page, '/requests?live=1')
  await page.getByText('Waiting for requests').waitFor()
  const ids = () => page.locator('tr[data-row]').evaluateAll((all) => all.map((tr) => tr.querySelector('time').dateTime))
  let sent = 0 // since the page listens
  const chat = (...args) => { sent++; return g.chat(...args) }
  // The feed begins with the first event after somebody listens.
  await until('a row is here', async () => { await chat(key, 'Hello'); return (await ids()).length > 0 })
  await page.locator('h1').click() // nothing else has the focus
  await page.keyboard.press('Space')
  await page.getByText('Paused').waitFor()
  const before = await ids()
  for (let i = 0; i < 3; i++) await chat(key, 'while paused')
  const pill = page.locator('.pill')
  await until('they are counted', async () => /^[1-9]\d* new$/.test((await pill.textContent().catch(() => '')) ?? ''))
  assert.deepEqual(await ids(), before)
  await page.keyboard.press('Space')
  await until('they are shown', async () => (await ids()).length > before.length)
  assert.equal(await pill.count(), 0)

  // What the gateway refuses by itself costs it least: a small machine gets enough of them, too.
  const { key: spent } = await g.api('POST', 'keys/user', { name: 'spent', limits: { rpm: 1 } })
  let on = true
  const worker = async () => { while (on) await (await chat(spent, 'x')).text() }
  const all = Array.from({ length: 24 }, worker)
  await page.getByText(/^1 of \d+ shown$/).waitFor().finally(() => { on = false })
  await Promise.all(all)
  // Events may be late, or left out: what has come by now is all that can be compared.
  const shown = (await page.locator('table.grid').getAttribute('aria-rowcount')) - 1
  const seen = Number((await page.locator('.livebar small').first().textContent()).replace(/\D/g, ''))
  assert.ok(seen <= sent, `${seen} requests of ${sent} that there were`)
  assert.ok(seen > shown, `a sample stands for several: ${shown} rows of ${seen} requests`)
  assert.ok(shown <= 500, `${shown} rows`)
  faultless(page)
})

test('bodies are not kept, unless that is switched on', async () => {
  const mark = (what) => `marker-of-${what}-4711`
  const routes = async () => {
    const { items } = await logged('&min_ms=0')
    const own = items.slice(0, 5)
    return [...own.map((r) => `requests/${encodeURIComponent(r.id)}`), 'requests?limit=500', 'requests/export?format=ndjson', 'requests/export?format=csv', 'diagnostics', 'audit',
      'overview', 'stats/top?by=error', `keys/user/${user}`]
  }
  const holds = async (text) => {
    const found = []
    for (const route of await routes()) {
      const r = await fetch(`${g.base}/admin/${route}`, { headers: { Authorization: `Bearer ${g.admin}` } })
      assert.ok(r.ok, `${route}: ${r.status}`)
      if ((await r.text()).includes(text)) found.push(route)
    }
    return found
  }
  const stored = async (text) => {
    const files = (await readdir(g.dir, { recursive: true, withFileTypes: true })).filter((f) => f.isFile())
    const found = []
    for (const f of files) if ((await readFile(path.join(f.parentPath, f.name))).includes(text)) found.push(f.name)
    return found
  }
  const last = async () => (await logged()).items[0]
  assert.equal((await g.api('GET', 'config')).fields['request_log.bodies'].value, 'off')
  const sent = [await g.chat(key, `[[status 400]] ${mark('off')}`), await g.chat(key, mark('off'))].map((r) => r.headers.get('x-request-id'))
  await until('both are logged', async () => {
    const { items } = await logged()
    return sent.every((id) => items.some((r) => r.id === id))
  })
  assert.deepEqual(await holds(mark('off')), [])
  assert.deepEqual(await stored(mark('off')), [])
  assert.ok(!(await g.log()).includes(mark('off')), "nor in Caddy's log")

  await g.api('POST', 'config', { request_log: { bodies: 'all' } })
  await g.chat(key, mark('on'))
  const on = await until('it is there', async () => (await holds(mark('on'))).length > 0 && last())
  assert.deepEqual(await stored(mark('on')), [], 'in the store it is sealed')
  await go(page, `/requests?id=${on.id}`)
  await dialog(page).getByText('Bodies are logged: they may hold personal data.').waitFor()
  await dialog(page).locator('pre', { hasText: mark('on') }).first().waitFor()
  await g.api('POST', 'config', { request_log: { bodies: 'off' } })
  faultless(page)
})

test('the drawer gives the focus back to its row', async () => {
  await go(page, '/requests')
  await page.locator('tr[data-row]').first().waitFor()
  await page.locator('.vbox').focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await checkDialog(page, '.vbox')
  faultless(page)
})
