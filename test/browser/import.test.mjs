// SPDX-License-Identifier: Apache-2.0
// Keys come in as text of any form, and are validated by the hundred.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { gateway, open, settled, until } from './harness.mjs'

let g, page
before(async () => {
  g = await gateway({ keys: 1, known: 40 })
  page = await open(g, { route: '/keys' })
  await settled(page)
})

const total = async () => (await g.api('GET', 'keys/gemini?limit=1')).total

test('messy text: the preview is what comes of it, and can be undone', async () => {
  const [a, b, c, ...rest] = g.known.slice(0, 20)
  // A byte order mark, CRLF, commas of both widths, quotes, a key that is in the pool, duplicates, and no keys.
  const text = `\uFEFF"${a}"\r\n${b}，${c};${a}\r\nAIzaTooShort\r\n${g.keys[0]}\r\nkeys = [${rest.join(' , ')}]\r\nhello, world`
  await page.getByRole('button', { name: 'Import keys' }).click()
  const dialog = page.locator('dialog[open]')
  await dialog.getByLabel('Keys', { exact: true }).fill(text)
  await dialog.locator('.preview', { hasText: '20 new' }).waitFor()
  const said = await dialog.locator('.preview [role=status]').textContent()
  assert.match(said, /1 in the pool already/)
  assert.match(said, /1 duplicate/)
  await dialog.getByRole('button', { name: 'Add and validate' }).click()
  await page.locator('.toast', { hasText: '20 keys imported.' }).waitFor()
  assert.equal(await total(), 21)
  await page.locator('.toast').getByRole('button', { name: 'Undo import' }).click()
  await until('only the first key is left', async () => (await total()) === 1)
  assert.ok(!(await page.content()).includes(a), 'no key stays in the page')
  assert.deepEqual(page.faults, [])
})

test('all matching but two are disabled: exactly those', async () => {
  await g.api('POST', 'keys/gemini/import', { text: g.known.slice(20).join('\n'), name_prefix: 'mass', validate: false })
  await until('they are in the pool', async () => (await total()) === 21)
  await page.evaluate(() => { location.hash = '/keys?q=mass' })
  await page.locator('.toolbar .count', { hasText: '20 keys' }).waitFor()
  await page.locator('.vbox.stale').waitFor({ state: 'detached' })
  await page.getByRole('checkbox', { name: 'Select all rows shown' }).click()
  const left = ['mass 3', 'mass 17']
  for (const name of left) await page.getByRole('checkbox', { name: `Select ${name}`, exact: true }).click()
  await page.locator('.bulk', { hasText: '18 selected' }).waitFor()
  await page.locator('.bulk').getByRole('button', { name: 'Disable' }).click()
  await page.locator('.toast', { hasText: '18 keys disabled.' }).waitFor()
  const { items } = await g.api('GET', 'keys/gemini?q=mass&limit=100')
  assert.deepEqual(items.filter((k) => k.status !== 'disabled').map((k) => k.name).sort(), left.sort())
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await until('all are enabled again', async () => (await g.api('GET', 'keys/gemini?q=mass&status=disabled&limit=1')).total === 0)
})
