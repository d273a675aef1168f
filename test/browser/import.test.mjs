// SPDX-License-Identifier: Apache-2.0
// Keys come in as text of any form, and are validated by the hundred.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { confirmSudo, dialog, faultless, noDialog, toast } from './harness-more.mjs'
import { check, expectFault, gateway, open, settled, shot, until } from './harness.mjs'

let g, page
before(async () => {
  g = await gateway({ keys: 1, known: 110 })
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
  const card = (await page.locator('.dock .job').textContent()).replaceAll(/\s+/g, ' ')
  const [{ done, total: lines, counts }] = (await g.api('GET', 'jobs')).items
  assert.ok(card.includes(`${lines} / ${lines}`) && /20 added/.test(card) && /20 valid/.test(card), card)
  assert.equal(done, counts.added + counts.in_pool + counts.duplicate + counts.malformed, 'each line once')
  await shot(page, 'jobs-import-1280-light-en')
  await page.locator('.toast').getByRole('button', { name: 'Undo import' }).click()
  await until('only the first key is left', async () => (await total()) === 1)
  assert.ok(!(await page.content()).includes(a), 'no key stays in the page')
  assert.deepEqual(page.faults, [])
})

test('all matching but two are disabled: exactly those', async () => {
  await g.api('POST', 'keys/gemini/import', { text: g.known.slice(20, 40).join('\n'), name_prefix: 'mass', validate: false })
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

const box = (name) => page.getByRole('checkbox', { name: `Select ${name}`, exact: true })
const disabled = async () => (await g.api('GET', 'keys/gemini?q=mass&status=disabled&limit=100')).items.map((k) => k.name).sort()

test('a range of rows with Shift: exactly those', async () => {
  await box('mass 10').click()
  await box('mass 14').click({ modifiers: ['Shift'] })
  await page.locator('.bulk', { hasText: '5 selected' }).waitFor()
  await box('mass 12').click() // one of them not
  await page.locator('.bulk').getByRole('button', { name: 'Disable' }).click()
  await toast(page, '4 keys disabled.').waitFor()
  assert.deepEqual(await disabled(), ['mass 10', 'mass 11', 'mass 13', 'mass 14'])
  await toast(page, '4 keys disabled.').getByRole('button', { name: 'Undo' }).click()
  await until('all are enabled again', async () => (await disabled()).length === 0)
  faultless(page)
})

test('a selection that means other keys by now changes nothing', async () => {
  expectFault(page, 'status of 409', 'status of 403', 'ERR_FAILED')
  const add = async (keys, total) => {
    await g.api('POST', 'keys/gemini/import', { text: keys.join('\n'), name_prefix: 'lot', validate: false })
    await until('they are in the pool', async () => (await g.api('GET', 'keys/gemini?q=lot&limit=1')).total === total)
  }
  await add(g.known.slice(40, 100), 60)
  await page.evaluate(() => { location.hash = '/keys?q=lot' })
  await page.locator('.toolbar .count', { hasText: '60 keys' }).waitFor()
  await settled(page)
  await page.getByRole('checkbox', { name: 'Select all rows shown' }).click()
  await page.getByRole('button', { name: 'Select all 60 matching' }).click()
  // The list is held back, so that the page knows nothing of the keys that come now.
  await page.route('**/admin/keys/gemini?*', (r) => r.abort())
  await add(g.known.slice(100, 103), 63)
  await page.locator('.bulk').getByRole('button', { name: 'Delete' }).click()
  await dialog(page).getByRole('textbox').fill('60')
  await page.unroute('**/admin/keys/gemini?*')
  await dialog(page).getByRole('button', { name: 'Delete' }).click()
  const asks = page.locator('dialog[open] input[type=password]') // so many want the key once more
  await asks.or(dialog(page).getByRole('alert')).first().waitFor()
  if (await asks.count()) await confirmSudo(page, g)
  await dialog(page).getByRole('alert').filter({ hasText: '60 keys were shown, 63 match now' }).waitFor()
  await check(page)
  assert.equal((await g.api('GET', 'keys/gemini?q=lot&limit=1')).total, 63, 'nothing is deleted')
  await dialog(page).getByRole('button', { name: 'Cancel' }).click()
  await noDialog(page)
  await until('the page shows what there is', async () => (await page.locator('table.grid').getAttribute('aria-rowcount')) === '64')
  await page.keyboard.press('Escape')
  faultless(page)
})

test('a file of ten thousand keys, and the way back', async (t) => {
  const own = await gateway({})
  const p = await open(own, { route: '/keys' })
  p.setDefaultTimeout(60_000)
  const many = 10_000
  const secret = (i) => `AIzaSy${'f'.repeat(27)}${String(i).padStart(6, '0')}`
  const lines = ['name,key,tags', ...Array.from({ length: many }, (_, i) => `=cell ${i},${secret(i)},"a;b"`), `again,${secret(7)},`, 'nothing,AIzaShort,']
  await p.getByRole('button', { name: 'Import keys' }).last().click()
  await dialog(p).locator('input[type=file]').setInputFiles({ name: 'keys.csv', mimeType: 'text/csv', buffer: Buffer.from(lines.join('\r\n')) })
  await dialog(p).locator('.preview', { hasText: '10,000 new' }).waitFor()
  const said = await dialog(p).locator('.preview [role=status]').textContent()
  for (const part of ['10,001 keys found', '1 duplicate', '1 cannot be added']) assert.ok(said.includes(part), said)
  await dialog(p).getByText('Show the lines').click()
  await dialog(p).locator('tbody tr', { hasText: 'it is too short for a Gemini key' }).waitFor()
  await check(p)
  await dialog(p).getByLabel('Validate after the import').uncheck()
  await dialog(p).getByLabel('Enable at once').uncheck() // Google knows none of them
  const began = performance.now()
  await dialog(p).getByRole('button', { name: 'Add', exact: true }).click()
  await toast(p, '10,000 keys imported.').waitFor()
  const took = performance.now() - began
  const [job] = (await own.api('GET', 'jobs')).items.filter((j) => j.kind === 'import')
  t.diagnostic(`ten thousand keys: ${Math.round(took)} ms from the click to the toast, of which the job ${Date.parse(job.ended_at) - Date.parse(job.started_at)} ms`)
  assert.deepEqual([job.counts.added, job.counts.duplicate, job.counts.malformed], [many, 1, 1], 'what the preview said')
  const { items: [one] } = await own.api('GET', `keys/gemini?q=${encodeURIComponent('=cell 4711')}&limit=1`)
  assert.deepEqual([one.name, one.tags.includes('a'), one.tags.includes('b')], ['=cell 4711', true, true])
  await p.locator('.toolbar .count', { hasText: '10,000 keys' }).waitFor()
  await toast(p, 'imported').getByRole('button', { name: 'Undo import' }).click()
  await until('all are gone', async () => (await own.api('GET', 'keys/gemini?limit=1')).total === 0)
  await p.getByText('No Gemini key yet').waitFor()
  faultless(p)
  await p.context().close()
})

test('an import is cancelled in the middle: what is in the pool is said, and goes', async () => {
  const own = await gateway({ known: 200, uplink: '300ms' }) // Google takes its time over each
  const p = await open(own, { route: '/keys' })
  p.setDefaultTimeout(30_000)
  await p.getByRole('button', { name: 'Import keys' }).last().click()
  await dialog(p).getByLabel('Keys', { exact: true }).fill(own.known.join('\n'))
  await dialog(p).getByRole('button', { name: 'Add and validate' }).click()
  await noDialog(p)
  const job = p.locator('.dock .job')
  const done = async () => Number(/([\d,]+) \/ /.exec(await job.textContent())?.[1].replaceAll(',', ''))
  await until('keys are validated', async () => (await done()) > 3)
  await job.getByRole('button', { name: 'Cancel' }).click()
  await job.getByText('cancelled').waitFor()
  await toast(p, 'Import cancelled. 200 keys are in the pool.').waitFor()
  const [{ state, done: last }] = (await own.api('GET', 'jobs')).items
  assert.equal(state, 'cancelled')
  assert.ok(last < 200, `${last} of 200 keys`)
  assert.equal((await own.api('GET', 'keys/gemini?limit=1')).total, 200)
  await check(p)
  await toast(p, 'Import cancelled').getByRole('button', { name: 'Undo import' }).click()
  await until('they are gone', async () => (await own.api('GET', 'keys/gemini?limit=1')).total === 0)
  await p.getByText('No Gemini key yet').waitFor()
  faultless(p)
  await p.context().close()
})

test('text of every kind is understood, and what is said of it comes true', async () => {
  const own = await gateway({ known: 8 })
  const p = await open(own, { route: '/keys' })
  p.setDefaultTimeout(30_000)
  const [a, b, c, d, e, f, h, i] = own.known
  // .env, YAML, JSON, a command line, full-width punctuation, no separator but a tab.
  const text = `\uFEFFGEMINI_API_KEY=${a}\r\n- key: ${b}\r\n{"keys":["${c}","${d}"]}\r\ncurl -H 'x-goog-api-key: ${e}' https://example.com\r\n${f}；${h}\t${i}\r\n${a}\r\nAIza!\r\n`
  await p.getByRole('button', { name: 'Import keys' }).last().click()
  await dialog(p).getByLabel('Keys', { exact: true }).fill(text)
  await dialog(p).locator('.preview', { hasText: '8 new' }).waitFor()
  const said = await dialog(p).locator('.preview [role=status]').textContent()
  const count = (what) => Number(new RegExp(`(\\d+) ${what}`).exec(said)?.[1] ?? 0)
  await dialog(p).getByLabel('Name prefix').fill('mixed')
  await dialog(p).getByRole('button', { name: 'Add and validate' }).click()
  await toast(p, '8 keys imported.').waitFor()
  const [{ counts }] = (await own.api('GET', 'jobs')).items
  assert.deepEqual([counts.added, counts.duplicate ?? 0, counts.malformed ?? 0, counts.valid], [count('new'), count('duplicate'), count('cannot'), 8])
  const { items } = await own.api('GET', 'keys/gemini?sort=name&order=asc')
  assert.deepEqual(items.map((k) => k.name), [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `mixed ${n}`))
  faultless(p)
  await p.context().close()
})
