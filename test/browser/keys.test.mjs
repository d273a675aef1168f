// SPDX-License-Identifier: Apache-2.0
// The table of ten thousand Gemini keys, and one key.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { checkDialog, confirmSudo, dialog, faultless, noDialog, row, toast } from './harness-more.mjs'
import { check, expectFault, gateway, open, settled, shot, until } from './harness.mjs'

const many = 10_000
const secret = (i) => `AIzaSy${'n'.repeat(27)}${String(i).padStart(6, '0')}`

/** Imports and waits until the job is over; gives its counts. */
async function imported(g, body) {
  const job = await g.api('POST', 'keys/gemini/import', { validate: false, ...body })
  return until('the import is over', async () => {
    const now = await g.api('GET', `jobs/${job.id}`)
    return now.state === 'done' && now.counts
  })
}

let g, page
before(async () => {
  g = await gateway({ keys: 2 })
  const text = Array.from({ length: many - 2 }, (_, i) => secret(i)).join('\n')
  assert.equal((await imported(g, { text, name_prefix: 'bulk', tags: ['big'], batch: 'b1', enabled: false })).added, many - 2)
  await imported(g, { text: Array.from({ length: 3 }, (_, i) => secret(many + i)).join('\n'), name_prefix: 'few', tags: ['small'], batch: 'b2' })
  // Google is asked about the others; the order must not change while it is looked at.
  await until('every key was looked at', async () => !(await g.api('GET', 'keys/gemini?limit=1')).counts.untested)
  page = await open(g, { route: '/keys' })
  await settled(page)
})

const total = many + 3
const count = () => page.locator('.toolbar .count')
const box = () => page.locator('.vbox')
const rows = () => page.locator('.vbox tbody tr[data-row]')
const names = () => page.locator('.vbox tbody .rowlink').allTextContents()
const shown = (n) => until(`${n} keys`, async () => (await count().textContent()).replaceAll(',', '') === (n === 1 ? '1 key' : `${n} keys`))
const filled = () => until('no row is blank', async () => (await page.locator('.vbox tr.wait, .vbox.stale').count()) === 0 && (await rows().count()) > 0)

async function goTo(route) {
  await page.evaluate((r) => { location.hash = r }, route)
  await settled(page)
}

test('ten thousand rows: few are in the page, and End reaches the last', async () => {
  await shown(total)
  const size = async () => {
    const [drawn, nodes] = await page.evaluate(() => [document.querySelectorAll('.vbox tbody tr').length, document.querySelectorAll('*').length])
    assert.ok(drawn <= 60, `${drawn} rows`)
    assert.ok(nodes <= 1500, `${nodes} nodes`)
  }
  await size()
  assert.equal(await page.locator('table.grid').getAttribute('aria-rowcount'), String(total + 1))
  await box().focus()
  await page.keyboard.press('End')
  const last = page.locator(`tr[aria-rowindex="${total + 1}"]`)
  await last.waitFor()
  await filled()
  await size()
  const expected = (await g.api('GET', `keys/gemini?sort=name&order=asc&limit=1&offset=${total - 1}`)).items[0]
  assert.equal(await last.locator('.rowlink').textContent(), expected.name || expected.hint)
  const indexes = await rows().evaluateAll((all) => all.map((tr) => Number(tr.getAttribute('aria-rowindex'))))
  assert.deepEqual(indexes, indexes.map((_, i) => indexes[0] + i))
  await page.keyboard.press('Home')
  await page.locator('tr[aria-rowindex="2"]').waitFor()
  await filled()
})

test('scrolling through all of it: no row stays blank', async (t) => {
  await goTo('/keys')
  await shown(total)
  const frames = await box().evaluate((el) => new Promise((resolve) => {
    const gaps = []
    let last = performance.now(), at = 0
    const step = (now) => {
      gaps.push(now - last)
      last = now
      el.scrollTop = (el.scrollHeight - el.clientHeight) * (++at / 120)
      if (at < 120) requestAnimationFrame(step)
      else resolve(gaps.slice(1).sort((a, b) => a - b))
    }
    requestAnimationFrame(step)
  }))
  t.diagnostic(`frames while scrolling: p50 ${frames[Math.floor(frames.length * 0.5)].toFixed(1)} ms, p95 ${frames[Math.floor(frames.length * 0.95)].toFixed(1)} ms`)
  await filled()
  await page.locator(`tr[aria-rowindex="${total + 1}"]`).waitFor()
  for (const share of [0.73, 0.21, 0.5]) { // jumps, as by the scroll bar
    await box().evaluate((el, to) => { el.scrollTop = el.scrollHeight * to }, share)
    await filled()
    const [first] = await rows().evaluateAll((all) => all.map((tr) => [Number(tr.dataset.row), tr.querySelector('.rowlink').textContent]))
    const expected = (await g.api('GET', `keys/gemini?sort=name&order=asc&limit=1&offset=${first[0]}`)).items[0]
    assert.equal(first[1], expected.name || expected.hint)
  }
  await box().evaluate((el) => { el.scrollTop = 0 })
  faultless(page)
})

test('search finds names, tags, ends and whole keys', async () => {
  const search = page.getByRole('searchbox')
  for (const [text, found] of [['bulk 4711', 1], ['small', 3], [secret(77).slice(-4), null], [secret(77), null]]) {
    await search.fill(text)
    const n = found ?? (await g.api('GET', `keys/gemini?limit=1&q=${encodeURIComponent(text.replace(/^(AIza).*(.{4})$/, '$1…$2'))}`)).total
    assert.ok(n > 0)
    await shown(n)
    await filled()
    assert.ok(!page.url().includes('AIzaSy'), 'a key never stands in an address')
  }
  assert.ok((await names()).length > 0)
  await search.fill('few')
  await shown(3)
  const { counts } = await g.api('GET', 'keys/gemini?limit=1&q=few')
  const tabs = await page.locator('.tabs button').evaluateAll((all) => all.map((b) => b.querySelector('span').textContent.replaceAll(',', '')))
  assert.deepEqual(tabs, ['all', 'active', 'cooling', 'exhausted', 'invalid', 'disabled', 'untested'].map((name) => String(counts[name] ?? 0)), 'the counts follow')
  await search.fill('')
  await shown(total)
})

test('columns sort as the API does, both ways', async () => {
  await page.setViewportSize({ width: 2400, height: 900 }) // room for all of them
  const hidden = () => page.locator('[role=menuitemradio][aria-checked=false]')
  for (let left = Infinity; left > 0; ) { // the menu closes with each choice
    await page.getByRole('button', { name: 'Columns' }).click()
    left = await hidden().count()
    if (left > 0) await hidden().first().click()
    else await page.keyboard.press('Escape')
  }
  const sorts = { Key: 'name', Status: 'status', Requests: 'requests_24h', Errors: 'errors_24h', Tokens: 'tokens_24h', 'Last used': 'last_used', 'Daily quota': 'quota', Cost: 'cost_24h', Weight: 'weight', Project: 'project', Added: 'created' }
  const heads = await page.locator('th[aria-sort] button').allTextContents()
  const all = heads.map((text) => text.trim()).map((label) => [label, sorts[label]])
  assert.ok(all.length >= 8, `${all.length} columns sort`)
  assert.deepEqual(all.filter(([, sort]) => !sort), [], 'this test knows every column that sorts')
  for (const [label, sort] of all.sort((a, b) => (a[0] === 'Key') - (b[0] === 'Key'))) {
    const head = page.locator('th', { has: page.getByRole('button', { name: label, exact: true }) })
    const seen = new Set()
    for (let i = 0; i < 2; i++) {
      await head.getByRole('button').click()
      const order = await until('the head tells the order', async () => {
        const now = await head.getAttribute('aria-sort')
        return now !== 'none' && !seen.has(now) && now
      })
      seen.add(order)
      await filled()
      const expected = (await g.api('GET', `keys/gemini?sort=${sort}&order=${order === 'ascending' ? 'asc' : 'desc'}&limit=5`)).items.map((k) => k.name || k.hint)
      await until(`${label} ${order}`, async () => JSON.stringify((await names()).slice(0, 5)) === JSON.stringify(expected))
    }
    assert.deepEqual([...seen].sort(), ['ascending', 'descending'])
  }
  await page.evaluate(() => localStorage.clear())
  await page.setViewportSize({ width: 1280, height: 900 })
  await page.reload()
  await shown(total)
})

test('a filter is an address: it survives a reload and Back', async () => {
  await goTo('/keys')
  await page.getByRole('button', { name: /^All tags/ }).click()
  await page.getByRole('menuitemradio', { name: /^small/ }).click()
  await shown(3)
  await page.reload()
  await shown(3)
  await goTo('/requests')
  await page.goBack()
  await shown(3)
  await page.goto(`${g.base}/admin/ui/#/keys?q=no-such-key`)
  await page.getByText('No key matches').waitFor()
  await page.getByRole('button', { name: 'Clear filters' }).click()
  await shown(total)
})

test('a list that cannot be loaded says so and tries again', async () => {
  expectFault(page, 'status of 500', 'status of 504', 'ERR_FAILED', 'ERR_TIMED_OUT')
  for (const act of [(r) => r.fulfill({ status: 500, contentType: 'application/problem+json', body: '{"title":"x","detail":"The store is full.","code":"internal"}' }), (r) => r.fulfill({ status: 504, contentType: 'text/html', body: '<h1>Gateway Timeout</h1>' }), (r) => r.abort('timedout'), (r) => r.abort()]) {
    await page.route('**/admin/keys/gemini?*', act)
    await goTo('/requests')
    await page.evaluate(() => { location.hash = '/keys' })
    const again = page.locator('main').getByRole('button', { name: 'Try again' })
    await again.waitFor()
    assert.equal(await page.locator('.skeleton, tr.wait').count(), 0, 'nothing pretends to be loading')
    await check(page)
    await page.unroute('**/admin/keys/gemini?*')
    await again.click()
    await shown(total)
  }
})

test('deleting: one with undo, more than five hundred only with the right number', async () => {
  expectFault(page, 'status of 403') // which asks for the admin key again
  await goTo('/keys?q=few+1')
  await shown(1)
  await page.getByRole('button', { name: /^Actions for/ }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await page.locator('dialog[open]').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('No key matches').waitFor()
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await shown(1)

  await goTo('/keys?q=bulk+7')
  const { total: matching } = await g.api('GET', 'keys/gemini?q=bulk+7&limit=1')
  assert.ok(matching > 500)
  await shown(matching)
  await page.getByRole('checkbox', { name: 'Select all rows shown' }).click()
  await page.getByRole('button', { name: `Select all ${matching.toLocaleString('en')} matching` }).click()
  await page.locator('.bulk').getByRole('button', { name: 'Delete' }).click()
  const dialog = page.locator('dialog[open]')
  const button = dialog.getByRole('button', { name: 'Delete' })
  await dialog.getByRole('textbox').fill(String(matching - 1))
  assert.ok(await button.isDisabled(), 'the wrong number')
  await dialog.getByRole('textbox').fill(String(matching))
  await button.click()
  const sudo = page.locator('dialog[open]', { hasText: 'Confirm with the admin key' })
  await sudo.locator('input[type=password]').fill(g.admin)
  await page.keyboard.press('Enter')
  await page.getByText('No key matches').waitFor()
  assert.equal((await g.api('GET', 'keys/gemini?limit=1')).total, total - matching)
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await until('all are back', async () => (await g.api('GET', 'keys/gemini?limit=1')).total === total)

  // Later on they are found among what was deleted.
  await g.api('DELETE', `keys/gemini/${(await g.api('GET', 'keys/gemini?q=few+3&limit=1')).items[0].id}`)
  await goTo('/settings?section=deleted')
  await page.locator('tr', { hasText: 'few 3' }).getByRole('button', { name: 'Restore' }).click()
  await toast(page, 'few 3 restored').waitFor()
  assert.equal((await g.api('GET', 'keys/gemini?limit=1')).total, total)
})

test('a key cools down and comes back while it is shown', async () => {
  const own = await gateway({ keys: 1 })
  const { key } = await own.api('POST', 'keys/user', { name: 'client', unlimited: true })
  await own.api('POST', 'config', { retry: { attempts: 1, wait: '0s' } })
  await until('it is known', async () => (await own.api('GET', 'keys/gemini?limit=1')).counts.active === 1)
  const p = await open(own, { route: '/keys' })
  p.setDefaultTimeout(30_000)
  await settled(p)
  const status = p.locator('tr[data-row] .status')
  await status.getByText('Active').waitFor()
  const r = await own.chat(key, '[[retry 20s]]')
  assert.equal(r.status, 429, await r.text())
  await status.getByText('Cooling down').waitFor()
  const left = async () => Number(/(\d+)s/.exec(await status.textContent())?.[1])
  const first = await until('the time left is shown', left)
  assert.ok(first <= 21, `${first} s`)
  await until('it runs', async () => (await left()) < first)
  await p.locator('.tabs button', { hasText: 'Cooling down' }).locator('span', { hasText: /^1$/ }).waitFor()
  await shot(p, 'keys-cooling-1280-light-en')
  await status.getByText('Active').waitFor() // nobody reloads
  assert.equal((await own.chat(key, 'Hello')).status, 200)
  faultless(p)
  await p.context().close()
})

test('a key’s drawer: edit, undo, Esc, and the focus goes back', async () => {
  await goTo('/keys?q=few+2')
  await shown(1)
  await box().focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  const drawer = page.locator('dialog.drawer[open]')
  const name = drawer.getByLabel('Name', { exact: true })
  await name.fill('renamed')
  await name.press('Tab')
  await page.locator('.toast', { hasText: 'Name is saved' }).waitFor()
  const id = new URLSearchParams(page.url().split('?')[1]).get('id')
  assert.equal((await g.api('GET', `keys/gemini/${id}`)).name, 'renamed')
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await until('the name is as it was', async () => (await g.api('GET', `keys/gemini/${id}`)).name === 'few 2')
  await until('so it stands in the field', async () => (await name.inputValue()) === 'few 2')
  await check(page)
  await page.keyboard.press('Escape')
  await drawer.waitFor({ state: 'detached' })
  assert.ok(!page.url().includes('id='))
  assert.ok(await box().evaluate((el) => el.contains(document.activeElement)), 'the focus is in the table again')
})

test('the table and a row’s menu by keyboard only', async () => {
  await goTo('/keys?tag=small')
  await shown(3)
  await box().focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('x')
  await page.keyboard.press('Shift+ArrowDown')
  await page.locator('.bulk', { hasText: '2 selected' }).waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.bulk').waitFor({ state: 'detached' })
  await box().focus()
  await page.keyboard.press('.')
  await page.getByRole('menu').waitFor()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter') // Disable
  await page.locator('.toast', { hasText: 'is disabled' }).waitFor()
  assert.equal((await g.api('GET', 'keys/gemini?tag=small&status=disabled&limit=1')).total, 1)
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await until('it is enabled again', async () => (await g.api('GET', 'keys/gemini?tag=small&status=disabled&limit=1')).total === 0)
  assert.deepEqual(page.faults, [])
})

test('every dialog holds the focus and gives it back', async () => {
  expectFault(page, 'status of 403')
  await goTo('/keys?tag=small')
  await shown(3)
  const names = []
  for (const button of ['Import keys', 'Validate all', 'Export']) {
    await page.locator('.pagehead').getByRole('button', { name: button }).click()
    names.push(await checkDialog(page, '.pagehead .btn'))
  }
  for (const item of ['Delete', 'Reveal']) { // the second asks for the admin key first, if that is long ago
    await row(page, 'few 1').locator('[data-menu]').click()
    await page.getByRole('menuitem', { name: item, exact: true }).click()
    names.push(await checkDialog(page, '[data-menu]'))
  }
  await row(page, 'few 1').locator('[data-menu]').click()
  await page.getByRole('menuitem', { name: 'Reveal', exact: true }).click()
  const asks = page.locator('dialog[open] input[type=password]')
  await asks.or(page.locator('[data-secret]')).first().waitFor()
  if (await asks.count()) await confirmSudo(page, g)
  await page.locator('[data-secret]').waitFor()
  names.push(await checkDialog(page, '[data-menu]'))
  assert.equal(await page.locator('[data-secret]').count(), 0)
  await row(page, 'few 1').locator('.rowlink').click()
  await dialog(page).locator('.edit').waitFor()
  names.push(await checkDialog(page, '.rowlink'))
  await page.getByRole('checkbox', { name: 'Select few 1', exact: true }).click()
  for (const button of ['Tag', 'Delete', 'Validate']) {
    await page.locator('.bulk').getByRole('button', { name: button, exact: true }).click()
    names.push(await checkDialog(page, '.bulk .btn'))
  }
  await page.locator('.bulk').getByRole('button', { name: 'More actions' }).click()
  await page.getByRole('menuitem', { name: 'Set weight' }).click()
  names.push(await checkDialog(page, '.bulk .btn'))
  await page.keyboard.press('Control+k')
  names.push(await checkDialog(page, '.bulk .btn, body'))
  assert.ok(new Set(names).size >= 9, names.join()) // some are the same dialog, opened elsewhere
  await noDialog(page)
  faultless(page)
})

test('an empty pool leads to the import', async () => {
  const empty = await open(await gateway({}), { route: '/keys' })
  await empty.getByText('No Gemini key yet').waitFor()
  await check(empty)
  await empty.locator('main .empty, main').getByRole('button', { name: 'Import keys' }).last().click()
  await empty.locator('dialog[open]', { hasText: 'Import keys' }).waitFor()
  await empty.context().close()
})
