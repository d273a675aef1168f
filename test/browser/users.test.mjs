// SPDX-License-Identifier: Apache-2.0
// User keys: made, shown once, used, limited, rotated, ended; one and a thousand.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { answers, checkDialog, choose, confirmSudo, dialog, faultless, go, noDialog, row, toast, traces } from './harness-more.mjs'
import { gateway, open, until } from './harness.mjs'

const g = await gateway({ keys: 2 })
const page = await open(g, { route: '/users' })
page.setDefaultTimeout(30_000)
const code = async (key) => (await g.chat(key, 'Hello')).status

/** Fills the form that is open and takes the value that is shown once. */
async function made() {
  await dialog(page).getByRole('button', { name: 'Create user key' }).click()
  return page.locator('[data-secret] code').first().textContent()
}

async function saved() {
  await page.getByLabel('I have saved it').check()
  await page.getByRole('button', { name: 'Done' }).click()
  await noDialog(page)
}

const fill = (name, value) => dialog(page).getByRole('textbox', { name, exact: true }).fill(value)

test('a key is shown once, works, and is limited', async () => {
  await page.getByRole('button', { name: 'Create user key' }).first().click()
  await fill('Name', 'shown once')
  await fill('RPM', '2')
  const key = await made()
  assert.match(key, /^gb-/)

  await page.keyboard.press('Escape') // it must not be lost by accident
  await page.getByText('Close without saving?').waitFor()
  await dialog(page).getByRole('button', { name: 'Cancel' }).click()
  assert.equal(await page.locator('[data-secret] code').first().textContent(), key)
  assert.notDeepEqual(await traces(page, key), [], 'the search would find it')
  await saved()

  assert.deepEqual([await code(key), await code(key), await code(key)], [200, 200, 429])
  const later = answers(page)
  assert.deepEqual(await traces(page, key), [])
  await go(page, '/users')
  await until('the list shows it as limited', () => row(page, 'shown once').getByText('Limited').isVisible())
  await row(page, 'shown once').click()
  await dialog(page).getByText('2 of 2').first().waitFor() // of its requests a minute
  for (const route of ['/requests', '/settings?section=audit', '/users']) await go(page, route)
  await until('the pages have asked', () => later.filter(({ text }) => text.includes('"items"')).length > 3)
  assert.deepEqual(await traces(page, key), [])
  assert.deepEqual(later.filter(({ url, text }) => url.includes(key) || text.includes(key)).map((x) => x.url), [])
  faultless(page)
})

test('rotation keeps the old value alive for as long as was chosen', async () => {
  const { key: old, id } = await g.api('POST', 'keys/user', { name: 'rotated' })
  await go(page, '/users')
  await choose(page, 'rotated', 'Rotate')
  await page.getByLabel('24 hours').check()
  await dialog(page).getByRole('button', { name: 'Rotate' }).click()
  const second = await page.locator('[data-secret] code').first().textContent()
  await page.getByText('The old value works until').waitFor()
  await saved()
  assert.notEqual(second, old)
  assert.deepEqual([await code(old), await code(second)], [200, 200])
  await row(page, 'rotated').getByText('rotating').waitFor()

  const { key: third } = await g.api('POST', `keys/user/${id}/rotate`, { grace_s: 1 })
  assert.deepEqual([await code(second), await code(third)], [200, 200])
  await until('the grace is over', async () => (await code(second)) === 401)
  assert.equal(await code(third), 200)

  await go(page, '/users')
  await choose(page, 'rotated', 'Rotate')
  await page.getByLabel('no longer: it ends now').check()
  await dialog(page).getByRole('button', { name: 'Rotate' }).click()
  const fourth = await page.locator('[data-secret] code').first().textContent()
  await saved()
  assert.deepEqual([await code(third), await code(fourth)], [401, 200])
  faultless(page)
})

test('a key ends at its time, and works from its networks only', async () => {
  await go(page, '/users')
  await page.getByRole('button', { name: 'Create user key' }).first().click()
  await fill('Name', 'fenced')
  await dialog(page).getByRole('combobox', { name: 'Expires' }).selectOption('date')
  await dialog(page).getByLabel('Date and time').fill('2020-01-01T00:00')
  await dialog(page).getByText('Networks and pool').click()
  await fill('Allowed networks', '10.0.0.300')
  await dialog(page).getByRole('button', { name: 'Create user key' }).click()
  await page.getByText('Choose a time to come.').waitFor()
  await page.getByText('Not an address or network.').waitFor()
  await dialog(page).getByLabel('Date and time').fill('2099-01-01T00:00')
  await fill('Allowed networks', '10.0.0.0/8, 2001:db8::/32')
  const key = await made()
  await saved()
  assert.equal(await code(key), 403)
  await choose(page, 'fenced', 'Edit')
  await dialog(page).getByText('Networks and pool').click()
  await fill('Allowed networks', '127.0.0.0/8')
  await dialog(page).getByRole('button', { name: 'Save' }).click()
  await toast(page, 'fenced saved').waitFor()
  assert.equal(await code(key), 200)

  const { items: [{ id }] } = await g.api('GET', 'keys/user?q=fenced')
  await g.api('PATCH', `keys/user/${id}`, { expires_at: new Date(Date.now() + 5000).toISOString() })
  await until('its time is over', async () => (await code(key)) === 401)
  await go(page, '/users?status=expired')
  await row(page, 'fenced').getByText('Expired').waitFor()
  faultless(page)
})

test('a thousand at once, as a file, and gone again', async () => {
  await go(page, '/users')
  await page.getByRole('button', { name: 'Create user key' }).first().click()
  await fill('Name', '=batch') // a spreadsheet must not run it
  await fill('How many', '1000')
  await fill('Labels', 'batch')
  await dialog(page).getByRole('button', { name: 'Create 1,000 keys' }).click()
  await page.getByText('1,000 keys created').waitFor()
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save 1,000 keys as CSV' }).click()])
  const lines = (await readFile(await download.path(), 'utf8')).replace(/^\ufeff/, '').trimEnd().split('\r\n')
  const keys = lines.slice(1).map((line) => line.split(',')[2])
  assert.equal(lines[0], 'name,id,key,expires_at')
  assert.equal(new Set(keys).size, 1000)
  assert.ok(lines.slice(1).every((line) => line.startsWith("'=batch")), lines[1])
  assert.deepEqual([await code(keys[0]), await code(keys[999])], [200, 200])
  await saved() // the file counts as saved
  assert.deepEqual(await traces(page, keys[0]), [])
  assert.deepEqual(await traces(page, keys[999]), [])

  await go(page, '/users?q=batch')
  await page.getByText('1,000 keys').waitFor()
  const rows = await page.locator('tr[data-row]').count()
  assert.ok(rows > 5 && rows <= 60, `${rows} rows`)
  await page.locator('th.chk input').click()
  await page.getByRole('button', { name: 'Select all 1,000 matching' }).click()
  await page.locator('.bulk').getByRole('button', { name: 'Delete' }).click()
  const last = dialog(page).getByRole('button', { name: 'Delete' })
  await dialog(page).locator('input').fill('999')
  assert.ok(await last.isDisabled(), 'with a wrong number')
  await dialog(page).locator('input').fill('1,000')
  await last.click()
  await confirmSudo(page, g) // so many want the key once more
  await noDialog(page)
  await until('they are gone', async () => (await g.api('GET', 'keys/user?q=batch')).total === 0)
  assert.equal(await code(keys[0]), 401)
  faultless(page)
})

test('every dialog holds the focus and gives it back', async () => {
  await g.api('POST', 'keys/user', { name: 'asked about' })
  await go(page, '/users?q=asked')
  await row(page, 'asked about').waitFor()
  const names = []
  const menu = '[data-menu], .vbox, .btn'
  await page.getByRole('button', { name: 'Create user key' }).first().focus()
  await page.keyboard.press('Enter')
  names.push(await checkDialog(page, '.pagehead .btn'))
  for (const item of ['Edit', 'Rotate', 'Delete']) {
    await choose(page, 'asked about', item)
    names.push(await checkDialog(page, menu))
  }
  await row(page, 'asked about').locator('.rowlink').click()
  await dialog(page).getByText('Limits now').waitFor()
  names.push(await checkDialog(page, '.rowlink'))
  await page.locator('th.chk input').click()
  for (const item of ['Expiry', 'Limits', 'Label', 'Delete']) {
    await page.locator('.bulk').getByRole('button', { name: item, exact: true }).click()
    names.push(await checkDialog(page, '.bulk .btn'))
  }
  assert.equal(new Set(names).size, 9, names.join())
  faultless(page)
})
