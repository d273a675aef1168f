// SPDX-License-Identifier: Apache-2.0
// The table of ten thousand Gemini keys, and one key.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { check, expectFault, gateway, open, settled, until } from './harness.mjs'

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
  await search.fill('')
  await shown(total)
})

test('columns sort as the API does, both ways', async () => {
  for (const [label, sort] of [['Status', 'status'], ['Requests', 'requests_24h'], ['Errors', 'errors_24h'], ['Tokens', 'tokens_24h'], ['Last used', 'last_used'], ['Key', 'name']]) {
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
  expectFault(page, 'status of 500', 'ERR_FAILED')
  for (const act of [(r) => r.fulfill({ status: 500, contentType: 'application/problem+json', body: '{"title":"x","detail":"The store is full.","code":"internal"}' }), (r) => r.abort()]) {
    await page.route('**/admin/keys/gemini?*', act)
    await goTo('/requests')
    await page.evaluate(() => { location.hash = '/keys' })
    const again = page.locator('main').getByRole('button', { name: 'Try again' })
    await again.waitFor()
    await page.unroute('**/admin/keys/gemini?*')
    await again.click()
    await shown(total)
  }
})

test('deleting: one with undo, thirty only with the right number', async () => {
  expectFault(page, 'status of 403') // which asks for the admin key again
  await goTo('/keys?q=few+1')
  await shown(1)
  await page.getByRole('button', { name: /^Actions for/ }).click()
  await page.getByRole('menuitem', { name: 'Delete' }).click()
  await page.locator('dialog[open]').getByRole('button', { name: 'Delete' }).click()
  await page.getByText('No key matches').waitFor()
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await shown(1)

  await goTo('/keys?q=bulk+77')
  const { total: matching } = await g.api('GET', 'keys/gemini?q=bulk+77&limit=1')
  assert.ok(matching > 20)
  await shown(matching)
  await page.getByRole('checkbox', { name: 'Select all rows shown' }).click()
  await page.getByRole('button', { name: `Select all ${matching} matching` }).click()
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

test('an empty pool leads to the import', async () => {
  const empty = await open(await gateway({}), { route: '/keys' })
  await empty.getByText('No Gemini key yet').waitFor()
  await check(empty)
  await empty.locator('main .empty, main').getByRole('button', { name: 'Import keys' }).last().click()
  await empty.locator('dialog[open]', { hasText: 'Import keys' }).waitFor()
  await empty.context().close()
})
