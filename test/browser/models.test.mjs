// SPDX-License-Identifier: Apache-2.0
// Models and aliases: their order, what is wrong with them, and that requests follow.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkDialog, dialog, faultless, go, noDialog, row, toast } from './harness-more.mjs'
import { gateway, open, until } from './harness.mjs'

const g = await gateway({ keys: 2 })
const { key } = await g.api('POST', 'keys/user', { name: 'client', unlimited: true })
const page = await open(g, { route: '/models?tab=aliases' })
page.setDefaultTimeout(30_000)

const listed = async () => {
  const r = await fetch(g.base + '/v1/models', { headers: { Authorization: `Bearer ${key}` } })
  return (await r.json()).data.map((m) => m.id)
}
/** Which model Google was asked for when a client asks for this one. */
async function served(model) {
  const r = await g.chat(key, 'Hello', { model })
  assert.equal(r.status, 200, await r.text())
  const { entries } = await g.asked()
  return /models\/([^:]+):generateContent/.exec(entries.filter((e) => e.path.includes('generateContent')).at(-1).path)[1]
}
async function add(name, targets) {
  await page.getByRole('button', { name: 'Add alias' }).click()
  await page.getByLabel('Name or pattern').fill(name)
  await page.getByLabel('Gemini models').fill(targets)
}
const save = () => dialog(page).getByRole('button', { name: 'Save' }).click()
const order = async () => (await g.api('GET', 'aliases')).items.filter((a) => a.source === 'store').map((a) => a.name)

test('models are read from Google', async () => {
  const job = await g.api('POST', 'models/sync')
  await until('the models are here', async () => (await g.api('GET', `jobs/${job.id}`)).state === 'done')
  assert.ok((await listed()).includes('gemini-2.5-pro'))
})

test('a table shows all its columns where there is room for them', async () => {
  for (const route of ['/models', '/keys', '/users', '/requests']) {
    await go(page, route)
    const cut = () => page.locator('table.grid').evaluate((el) => ({
      beyond: el.scrollWidth - el.closest('.vbox').clientWidth,
      heads: [...el.querySelectorAll('th button')].filter((b) => b.scrollWidth > b.clientWidth + 1).map((b) => b.textContent.trim()),
    }))
    assert.deepEqual(await cut(), { beyond: 0, heads: [] }, route)
  }
  faultless(page)
})

test('the first alias that fits decides, for the test field and for requests', async () => {
  await go(page, '/models?tab=aliases')
  await add('mine-*', 'gemini-2.5-flash')
  await save()
  await toast(page, 'mine-* saved').waitFor()
  await add('mine-best', 'gemini-2.5-pro')
  await page.getByText('Never used: an alias before it takes the name.').waitFor() // a warning: it may be moved up
  await save()
  await toast(page, 'mine-best saved').waitFor()
  assert.deepEqual(await order(), ['mine-*', 'mine-best'])
  assert.equal(await served('mine-best'), 'gemini-2.5-flash')
  const test = page.getByLabel('Test a name')
  await test.fill('mine-best')
  await page.getByText('mine-* takes it: asks for gemini-2.5-flash').waitFor()

  await page.getByRole('button', { name: 'Move mine-best', exact: true }).focus()
  await page.keyboard.press('Alt+ArrowUp')
  await toast(page, 'mine-best moved').waitFor()
  await until('the order is saved', async () => (await order())[0] === 'mine-best')
  await page.getByText('mine-best takes it: asks for gemini-2.5-pro').waitFor()
  assert.equal(await page.locator('tr.marked').getAttribute('data-alias'), 'mine-best')
  assert.equal(await served('mine-best'), 'gemini-2.5-pro')
  assert.equal(await served('mine-other'), 'gemini-2.5-flash')
  await test.fill('gemini-2.5-pro')
  await page.getByText('No alias: asks for the model gemini-2.5-pro').waitFor()
  assert.ok((await listed()).includes('mine-best'), 'names are listed')
  assert.ok(!(await listed()).includes('mine-*'), 'patterns are not')
  faultless(page)
})

test('what cannot be is said at its field', async () => {
  await go(page, '/models?tab=aliases')
  await page.locator('tr[data-alias="mine-best"]').waitFor()
  const before = await order()
  for (const [name, targets, said] of [
    ['', 'gemini-2.5-flash', 'A name is missing.'],
    ['*', 'gemini-2.5-flash', '* alone would take every name.'],
    ['fresh', '', 'Name a model.'],
    ['fresh', 'fresh', 'Leads to itself.'],
    ['mine-best', 'gemini-2.5-flash', 'This name is there already.'],
  ]) {
    await add(name, targets)
    await save()
    const fault = dialog(page).locator('[role=alert], .badtext', { hasText: said }).first()
    await fault.waitFor()
    await dialog(page).getByRole('button', { name: 'Cancel' }).click()
    await noDialog(page)
  }
  assert.deepEqual(await order(), before)

  await add('lost', 'gemini-of-nobody')
  await dialog(page).getByText('No Gemini key has this model.').waitFor() // it may come yet: only a warning
  await save()
  await toast(page, 'lost saved').waitFor()
  await page.locator('tr[data-alias=lost] .faultcell', { hasText: /model/ }).waitFor()
  faultless(page)
})

test('two operators: the second one is told and loses nothing', async () => {
  await go(page, '/models?tab=aliases')
  await page.locator('tr[data-alias=lost]').waitFor()
  const items = (await g.api('GET', 'aliases')).items.filter((a) => a.source === 'store').map(({ name, targets }) => ({ name, targets }))
  await g.api('PUT', 'aliases', { items: [...items, { name: 'theirs', targets: ['gemini-2.5-flash'] }] })
  await page.getByRole('button', { name: 'Remove lost' }).click()
  await toast(page, 'Somebody else has changed the aliases.').waitFor()
  await page.locator('tr[data-alias=theirs]').waitFor()
  await page.locator('tr[data-alias=lost]').waitFor()
  assert.deepEqual(await order(), ['mine-best', 'mine-*', 'lost', 'theirs'])
  await page.getByRole('button', { name: 'Remove lost' }).click()
  await toast(page, 'lost removed').waitFor()
  await until('it is gone', async () => !(await order()).includes('lost'))
  await toast(page, 'lost removed').getByRole('button', { name: 'Undo' }).click()
  await until('it is back', async () => (await order()).includes('lost'))
  faultless(page)
})

test('a model that is switched off is neither listed nor served', async () => {
  const name = 'gemini-2.5-pro'
  await go(page, '/models')
  assert.ok((await listed()).includes(name))
  await page.getByRole('searchbox').fill(name)
  await row(page, name).getByRole('switch', { name: `Offer ${name}`, exact: true }).click()
  await toast(page, `${name} is no longer offered`).waitFor()
  assert.ok(!(await listed()).includes(name))
  assert.equal((await g.chat(key, 'Hello', { model: name })).status, 404)
  await toast(page, 'no longer offered').getByRole('button', { name: 'Undo' }).click()
  await until('it is offered again', async () => (await listed()).includes(name))
  assert.equal((await g.chat(key, 'Hello', { model: name })).status, 200)
  faultless(page)
})

test('on a phone the aliases are cards: nothing is cut off, all can be done', async () => {
  await page.setViewportSize({ width: 390, height: 844 })
  await g.api('PUT', 'aliases', { items: [...(await g.api('GET', 'aliases')).items.filter((a) => a.source === 'store').map(({ name, targets }) => ({ name, targets })), { name: 'a-rather-long-name-of-an-alias-*', targets: ['gemini-2.5-flash', 'gemini-2.5-pro', 'gemini-2.0-flash'] }] })
  await go(page, '/models?tab=aliases')
  const long = page.locator('tr[data-alias^="a-rather-long"]')
  await long.waitFor()
  assert.deepEqual(await page.locator('.aliascard .scroll').evaluate((el) => {
    const edge = el.getBoundingClientRect().right
    return [...el.querySelectorAll('td, th, button')].filter((x) => x.checkVisibility() && (x.scrollWidth > x.clientWidth + 1 || x.getBoundingClientRect().right > edge + 1)).map((x) => x.textContent)
      .concat(el.scrollWidth > el.clientWidth ? ['the table itself'] : [])
  }), [])
  await page.getByRole('button', { name: 'Move a-rather-long-name-of-an-alias-*', exact: true }).focus()
  await page.keyboard.press('Alt+ArrowUp')
  await toast(page, 'a-rather-long-name-of-an-alias-* moved').waitFor()
  await long.getByRole('button', { name: /^Remove/ }).click()
  await toast(page, 'a-rather-long-name-of-an-alias-* removed').waitFor()
  await page.setViewportSize({ width: 1280, height: 900 })
  faultless(page)
})

test('the dialogs hold the focus and give it back', async () => {
  await go(page, '/models?tab=aliases')
  await page.getByRole('button', { name: 'Edit mine-best' }).click()
  await checkDialog(page, '[aria-label="Edit mine-best"]')
  await go(page, '/models?q=gemini-2.5-pro')
  await row(page, 'gemini-2.5-pro').locator('.rowlink').click()
  await checkDialog(page, '.rowlink')
  faultless(page)
})
