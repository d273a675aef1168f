// SPDX-License-Identifier: Apache-2.0
// The first start: the token of the log makes the admin key, then keys come in, a user
// key goes out, and a request streams; after that the way in is closed.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { faultless, traces } from './harness-more.mjs'
import { check, enter, expectFault, gateway, open, settled, shot, until } from './harness.mjs'

const tokenOf = (g) => until('the log has the token', async () => /"setup_token":"([^"]+)"/.exec(await g.log())?.[1])
const setUp = (g, token) => fetch(g.base + '/admin/setup', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token }) })
const stateOf = async (g) => (await fetch(g.base + '/admin/setup')).json()

const shown = (page) => page.locator('[data-secret] code').first()
const next = (page) => page.getByRole('button', { name: 'Next' })

test('from the first start to the first answer', async () => {
  const g = await gateway({ no_admin_key: true, known: 3 })
  const token = await tokenOf(g)
  const page = await open(g, { signIn: false })
  page.setDefaultTimeout(30_000)
  expectFault(page, 'status of 401')
  await page.locator('.steps').waitFor() // nobody can sign in yet, so that is where / leads
  assert.deepEqual(await stateOf(g), { needed: true, token: true, tls: false })
  const field = page.getByLabel('Set-up token')
  assert.ok(await field.evaluate((el) => el === document.activeElement), 'the first field has the focus')

  await field.fill('not the token')
  await page.getByRole('button', { name: 'Make the admin key' }).click()
  await page.getByRole('alert').filter({ hasText: '4 tries are left' }).waitFor()
  assert.equal(await shown(page).count(), 0)
  await check(page)

  await field.fill(` ${token}\n`) // as it is copied
  await page.getByRole('button', { name: 'Make the admin key' }).click()
  const key = await shown(page).textContent()
  assert.ok(key.length >= 32)
  await page.getByText('The admin key is shown only now').waitFor()
  await page.getByText('in the file admin.key').waitFor()
  assert.equal((await readFile(`${g.dir}/store/admin.key`, 'utf8')).trim(), key, 'what the page says of the file')
  assert.ok(await next(page).isDisabled(), 'not before it is saved')
  await check(page)
  await shot(page, 'setup-key-1280-light-en')
  g.admin = key
  await g.api('GET', 'status') // it works
  assert.equal((await setUp(g, token)).status, 403, 'the token is used up')

  await page.reload()
  await page.locator('h1').waitFor()
  await settled(page)
  assert.deepEqual(await traces(page, key), [], 'a reload does not show it again')
  assert.deepEqual(await traces(page, token), [])
  await page.evaluate(() => { location.hash = '/setup' })
  await page.getByText('Paste your keys of Google AI Studio').waitFor() // what is done is not asked for again

  await page.getByRole('textbox', { name: 'Gemini keys' }).fill(`"${g.known[0]}", ${g.known[1]}\n${g.known[2]};${g.known[0]}\nAIzaNoKey`)
  await page.getByText('3 found · 1 duplicates · 1 not keys').waitFor()
  await page.getByRole('button', { name: 'Add and validate 3 keys' }).click()
  await page.getByText('3 keys work.').waitFor()
  assert.equal((await g.api('GET', 'keys/gemini?limit=1')).counts.active, 3)
  await check(page)
  await shot(page, 'setup-keys-1280-light-en')
  await next(page).click()

  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('first application')
  await page.getByRole('button', { name: 'Make the user key' }).click()
  const user = await shown(page).textContent()
  assert.match(user, /^gb-/)
  assert.ok(await next(page).isDisabled())
  await check(page)
  await page.getByLabel('I have saved it').check()
  await next(page).click()

  await page.getByRole('button', { name: 'Send test' }).click()
  await page.getByText(/^First token after/).waitFor()
  assert.ok((await page.locator('.testreply .prose').first().textContent()).length > 0, 'it streams')
  await page.locator('.codebox', { hasText: user }).first().waitFor() // ready code, with the key in it
  await check(page)
  await shot(page, 'setup-try-1280-light-en')
  assert.equal((await g.chat(user, 'Hello')).status, 200)
  await page.getByRole('button', { name: 'Finish' }).click()
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
  await settled(page)
  for (const secret of [key, user, g.known[0]]) assert.deepEqual(await traces(page, secret), [])
  await until('the test is counted', async () => (await g.api('GET', 'overview?window=1h')).figures.requests >= 2)
  faultless(page)
  await page.context().close()

  // Closed: whoever comes now has to sign in, on the address of the set-up, too.
  const guest = await open(g, { route: '/setup', signIn: false })
  await guest.getByRole('heading', { name: 'Sign in' }).waitFor()
  assert.deepEqual(await stateOf(g), { needed: false, token: false, tls: false })
  await enter(guest, key)
  await guest.context().close()
  await g.stop()
  await g.start()
  assert.ok(!(await g.log()).split('"serving initial configuration"').at(-1).includes('setup_token'), 'a later start offers none')
  assert.equal((await setUp(g, token)).status, 403)
})

test('five wrong tokens close the way in, and the page says where the key is', async () => {
  const g = await gateway({ no_admin_key: true })
  const token = await tokenOf(g)
  const page = await open(g, { signIn: false })
  page.setDefaultTimeout(30_000)
  expectFault(page, 'status of 401', 'status of 403')
  const field = page.getByLabel('Set-up token')
  for (let left = 4; left >= 0; left--) {
    await field.fill(`wrong ${left}`)
    await field.press('Enter')
    await page.getByRole('alert').filter({ hasText: `${left} tries are left` }).waitFor()
  }
  await field.fill(token)
  await field.press('Enter')
  const fault = page.getByRole('alert').filter({ hasText: 'admin.key' })
  await fault.waitFor()
  assert.equal(await shown(page).count(), 0)
  await check(page)
  await page.reload()
  await page.getByRole('heading', { name: 'Sign in' }).waitFor()
  assert.equal((await setUp(g, token)).status, 403)
  faultless(page)
  await page.context().close()
})
