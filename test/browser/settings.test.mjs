// SPDX-License-Identifier: Apache-2.0
// Settings and secrets: what is locked, checked, saved and undone; what needs the admin key again.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { checkDialog, confirmSudo, dialog, faultless, go, noDialog, row, toast, traces } from './harness-more.mjs'
import { gateway, open, until } from './harness.mjs'

const g = await gateway({ keys: 1, app: 'strategy round_robin\n\t\trequest_log {\n\t\t\tretention 48h\n\t\t}' })
const { key } = await g.api('POST', 'keys/user', { name: 'client', unlimited: true })
const page = await open(g, { route: '/settings' })
page.setDefaultTimeout(30_000)
const field = async (name) => (await g.api('GET', 'config')).fields[name]
const save = () => page.locator('.savebar').getByRole('button', { name: 'Save' })

/** A dialog that needs the admin key asks for it, unless it was given lately. */
async function confirmSudoIfAsked() {
  const asks = page.locator('dialog[open] input[type=password]')
  await until('it asks, says why not, or is over', async () => (await asks.count()) + (await page.locator('dialog[open] [role=alert]').count()) > 0 || !(await page.locator('dialog[open]').count()))
  if (await asks.count()) await confirmSudo(page, g)
}

test('what the Caddyfile sets is locked here, and says so', async () => {
  await go(page, '/settings')
  const strategy = page.locator('[id="setting-strategy"]')
  assert.ok(await page.getByLabel('Strategy').isDisabled())
  await strategy.getByText('Set in the Caddyfile:').waitFor()
  assert.ok(!(await page.getByLabel('Attempts', { exact: true }).isDisabled()))
  const { status } = await fetch(g.base + '/admin/config', { method: 'PATCH', headers: { Authorization: `Bearer ${g.admin}`, 'Content-Type': 'application/json' }, body: '{"strategy":"adaptive"}' })
  assert.equal(status, 409, 'nor by the API')
  faultless(page)
})

test('the words of a choice are not cut off', async () => {
  const cut = () => page.locator('.setting select').evaluateAll((all) => all.flatMap((el) => {
    const pen = document.createElement('canvas').getContext('2d')
    pen.font = getComputedStyle(el).font
    const room = el.clientWidth - 14 - 24 // padding, arrow
    return [...el.options].filter((o) => pen.measureText(o.text).width > room).map((o) => `${o.text}: ${pen.measureText(o.text).width} in ${room}`)
  }))
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 })
    for (const section of ['routing', 'requests', 'log']) {
      await go(page, `/settings?section=${section}`)
      await page.locator('.setting select').first().waitFor()
      assert.deepEqual(await cut(), [], `${section} at ${width}`)
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 })
  faultless(page)
})

test('a wrong value is said at its field and cannot be saved', async () => {
  await go(page, '/settings')
  await page.getByLabel('Retry budget').fill('lots')
  const fault = page.locator('[id="setting-retry.budget"] [role=alert]')
  await fault.waitFor()
  const described = await page.getByLabel('Retry budget').getAttribute('aria-describedby')
  assert.ok(described.split(' ').includes(await fault.getAttribute('id')), 'a screen reader hears it')
  assert.ok(await save().isDisabled())
  await page.getByLabel('Attempts', { exact: true }).fill('3000')
  await page.locator('[id="setting-retry.attempts"] [role=alert]').waitFor()
  await page.getByText('2 fields are not right.').first().waitFor()
  await page.getByRole('button', { name: 'Discard' }).click()
  await until('the bar is gone', async () => await page.locator('.savebar').count() === 0)
  for (const [label, name] of [['Retry budget', 'retry.budget'], ['Attempts', 'retry.attempts']]) {
    const value = String((await field(name)).value)
    await until(`what was typed is gone: ${label}`, async () => await page.getByLabel(label, { exact: true }).inputValue() === value)
  }
  faultless(page)
})

test('a field that is set, then typed back to its default, is not set any more', async () => {
  await go(page, '/settings')
  const attempts = page.getByLabel('Attempts', { exact: true }), row = page.locator('[id="setting-retry.attempts"]')
  const { default: usual } = await field('retry.attempts')
  for (const [typed, source, says] of [['7', 'store', 'Set here'], [String(usual), 'default', 'Default']]) {
    await attempts.fill(typed)
    await row.getByText('Changed').waitFor()
    await save().click()
    await until(`it says ${says}`, async () => (await row.locator('.source').textContent()).trim().startsWith(says))
    const { value, source: is } = await field('retry.attempts')
    assert.deepEqual([String(value), is], [typed, source])
    assert.equal(await row.getByRole('button', { name: 'Back to default' }).count(), source === 'store' ? 1 : 0)
  }
  faultless(page)
})

test('a change is looked through, saved, has effect on the next request, and goes back', async () => {
  let names = 0 // another one each time: what Google does not know is remembered
  const unknown = () => g.chat(key, 'Hello', { model: `nobody-knows-me-${names++}` })
  const asked = async () => (await g.asked()).entries.filter((e) => e.path.includes('nobody-knows-me')).map((e) => e.path) // not lists, which are asked for again behind
  await go(page, '/settings?section=requests')
  const before = await asked()
  await unknown()
  assert.ok((await asked()).length > before.length, 'Google is asked for what the gateway does not know')
  await page.getByLabel('Unknown model names').selectOption('refuse')
  await page.getByRole('button', { name: 'Review' }).click()
  const line = dialog(page).locator('tbody tr')
  assert.deepEqual(await line.locator('th, td').allTextContents(), ['Unknown model names', 'Ask Google', 'Refuse with 404'])
  await dialog(page).getByRole('button', { name: 'Save' }).click()
  await toast(page, '1 setting saved').waitFor()
  const saved = await asked()
  assert.equal((await unknown()).status, 404)
  assert.deepEqual(await asked(), saved, 'the gateway refuses by itself')
  await page.getByRole('button', { name: 'Back to default' }).click()
  await until('it is the default again', async () => (await field('models.unknown')).source === 'default')
  await unknown()
  assert.ok((await asked()).length > saved.length)
  faultless(page)
})

test('two operators change the same: the second one chooses', async () => {
  await go(page, '/settings')
  await page.getByLabel('Retry budget').fill('0.3')
  await page.getByLabel('Attempts', { exact: true }).fill('4')
  await g.api('PATCH', 'config', { 'retry.budget': 0.4 })
  await save().click()
  await dialog(page).getByText('Somebody else changed the same settings').waitFor()
  assert.equal((await field('retry.budget')).value, 0.4, 'nothing is overwritten')
  await dialog(page).getByLabel(/Yours/).check()
  await dialog(page).getByRole('button', { name: 'Go on' }).click()
  await toast(page, '2 settings saved').waitFor()
  assert.deepEqual([(await field('retry.budget')).value, (await field('retry.attempts')).value], [0.3, 4])
  faultless(page)
})

test('leaving with changes asks first', async () => {
  await go(page, '/settings')
  await page.getByLabel('Attempts', { exact: true }).fill('7')
  const away = page.locator('.nav a', { hasText: 'Overview' })
  await away.click()
  await page.getByText('Leave without saving?').waitFor()
  await checkDialog(page, '.nav a')
  assert.match(page.url(), /#\/settings/)
  assert.equal(await page.getByLabel('Attempts', { exact: true }).inputValue(), '7')
  await away.click()
  await dialog(page).getByRole('button', { name: 'Leave' }).click()
  await page.getByRole('heading', { name: 'Overview', level: 1 }).waitFor()
  assert.notEqual((await field('retry.attempts')).value, 7)
  faultless(page)
})

test('showing and exporting keys needs the admin key again, and is written down', async () => {
  const secret = g.keys[0], name = (await g.api('GET', 'keys/gemini')).items[0]
  await g.api('PATCH', `keys/gemini/${name.id}`, { name: 'to show' })
  await go(page, '/keys')
  const reveal = async () => {
    await row(page, 'to show').locator('[data-menu]').click()
    await page.getByRole('menuitem', { name: 'Reveal', exact: true }).click()
  }
  await reveal()
  const asked = dialog(page).locator('input[type=password]')
  await asked.fill('a wrong key')
  await asked.press('Enter')
  await dialog(page).getByRole('alert').or(dialog(page).locator('.badtext')).first().waitFor()
  assert.equal(await page.locator('[data-secret]').count(), 0)
  await confirmSudo(page, g)
  assert.equal(await page.locator('[data-secret] code').textContent(), secret)
  await dialog(page).locator('footer').getByRole('button', { name: 'Close' }).click()
  await noDialog(page)
  assert.deepEqual(await traces(page, secret), [])
  await reveal() // still confirmed: not asked again
  await page.locator('[data-secret] code').waitFor()
  await page.keyboard.press('Escape')
  await noDialog(page)

  await page.getByRole('button', { name: /^Export/ }).first().click()
  await dialog(page).getByText('Text, one a line').click()
  await dialog(page).getByLabel('With the keys themselves').check()
  const [download] = await Promise.all([page.waitForEvent('download'), dialog(page).getByRole('button', { name: 'Export' }).click()])
  assert.ok((await readFile(await download.path(), 'utf8')).includes(secret))

  await go(page, '/settings?section=audit')
  await page.getByLabel('Search action or object').fill('reveal')
  await until('both are there', async () => (await page.locator('.audit tbody tr').count()) === 2)
  await page.getByLabel('Search action or object').fill('export')
  await page.locator('.audit tbody tr').first().waitFor()
  assert.deepEqual(await traces(page, secret), [])
  faultless(page)
})

test('the confirmation ends after five minutes', async () => {
  const clocked = await open(g, { route: '/keys' })
  clocked.setDefaultTimeout(30_000)
  await clocked.clock.install()
  await row(clocked, 'to show').locator('[data-menu]').click()
  await clocked.getByRole('menuitem', { name: 'Reveal', exact: true }).click()
  await confirmSudo(clocked, g)
  await clocked.locator('[data-secret] code').waitFor()
  await clocked.locator('.sudo').first().waitFor({ state: 'attached' })
  await clocked.clock.fastForward('01:05')
  await until('the value has gone by itself', async () => (await clocked.locator('[data-secret] code').count()) === 0)
  await clocked.clock.fastForward('04:00')
  await until('nothing says that it is confirmed', async () => (await clocked.locator('.sudo').count()) === 0)
  const session = await clocked.evaluate(() => fetch('../session').then((r) => r.json()))
  const left = Date.parse(session.sudo_until) - Date.parse(session.server_time)
  assert.ok(left > 4 * 60_000 && left <= 5 * 60_000, `for the server: ${left} ms`) // whose own clock its tests turn
  await clocked.context().close()
})

test('with keys.reveal off nobody reads a key', async () => {
  await g.api('PATCH', 'config', { 'keys.reveal': false })
  await go(page, '/keys')
  await row(page, 'to show').locator('[data-menu]').click()
  const item = page.getByRole('menuitem', { name: 'Reveal', exact: true })
  if (await item.isEnabled()) {
    await item.click()
    await page.locator('.toast.bad, dialog [role=alert]').first().waitFor()
  }
  assert.equal(await page.locator('[data-secret]').count(), 0)
  const got = await page.evaluate(async () => {
    const { items } = await (await fetch('../keys/gemini')).json()
    const send = (route, body) => fetch('../' + route, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })
    const answers = await Promise.all([send(`keys/gemini/${items[0].id}/reveal`, {}), send('keys/gemini/export', { format: 'txt', secrets: true })])
    return Promise.all(answers.map(async (r) => [r.status, (await r.json()).code]))
  })
  assert.deepEqual(got, [[403, 'reveal_off'], [403, 'reveal_off']])
  await g.api('PATCH', 'config', { 'keys.reveal': true })
  faultless(page)
})

// These confirm with the admin key, which tests above want to be asked for.

test('the master key is replaced while requests go on', async () => {
  await go(page, '/settings?section=security')
  await page.getByRole('button', { name: 'Replace and seal anew' }).click()
  await dialog(page).getByRole('button', { name: 'Replace' }).click()
  await confirmSudoIfAsked()
  await noDialog(page)
  const job = page.locator('.dock .job').last()
  await job.getByText('Change of the master key').waitFor()
  await job.getByText('finished').waitFor()
  assert.equal((await g.chat(key, 'Hello')).status, 200)
  await job.getByRole('button', { name: 'Close' }).click()
  faultless(page)
})

test('every dialog holds the focus and gives it back', async () => {
  await go(page, '/settings')
  await page.getByLabel('Attempts', { exact: true }).fill('6')
  await page.getByRole('button', { name: 'Review' }).click()
  const names = [await checkDialog(page, '.savebar .btn')]
  await g.api('PATCH', 'config', { 'retry.attempts': 5 })
  await save().click()
  await dialog(page).getByText('Somebody else changed the same settings').waitFor()
  names.push(await checkDialog(page, '.savebar .btn, body')) // Save was busy when the dialog came
  await page.getByRole('button', { name: 'Discard' }).click()
  await go(page, '/settings?section=security')
  for (const button of ['Replace', 'Replace and seal anew', 'End all sessions']) {
    await page.getByRole('button', { name: button, exact: true }).click()
    names.push(await checkDialog(page, '.setting .btn'))
  }
  await go(page, '/settings?section=backup')
  const file = page.locator('.drop').last().locator('input[type=file]')
  await file.setInputFiles({ name: 'x.backup', mimeType: 'application/octet-stream', buffer: Buffer.from('x') })
  names.push(await checkDialog(page, 'body, .btn'))
  await file.setInputFiles({ name: 'x.backup', mimeType: 'application/octet-stream', buffer: Buffer.from('x') })
  await dialog(page).getByRole('button', { name: 'Restore' }).click()
  await confirmSudoIfAsked()
  await dialog(page).getByRole('alert').filter({ hasText: 'backup' }).waitFor() // it is none, which is said where it was tried
  await dialog(page).getByRole('button', { name: 'Cancel' }).click()
  await noDialog(page)
  assert.equal(new Set(names).size, 6, names.join())
  faultless(page)
})
