// SPDX-License-Identifier: Apache-2.0
// Long work: it tells how far it is, over reloads, too, runs once, and ends when told to.
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { dialog, faultless, noDialog, toast } from './harness-more.mjs'
import { check, expectFault, gateway, open, settled, shot, until } from './harness.mjs'

const many = 300
let g, page
before(async () => {
  // Google takes its time, so that there is something to watch.
  g = await gateway({ known: many, uplink: '150ms' })
  await g.api('POST', 'keys/gemini/import', { text: g.known.join('\n'), validate: false })
  await until('Google was asked about each', async () => { const { total, counts } = await g.api('GET', 'keys/gemini?limit=1'); return total === many && !counts.untested })
  page = await open(g, { route: '/keys' })
  page.setDefaultTimeout(30_000)
  await settled(page)
  for (const job of (await g.api('GET', 'jobs')).items) await g.api('DELETE', `jobs/${job.id}`)
})

const job = () => page.locator('.dock .job').last()
const done = async () => Number(/([\d,]+) \/ /.exec(await job().textContent())?.[1].replaceAll(',', ''))
const validations = async () => (await g.api('GET', 'jobs')).items.filter((j) => j.kind === 'validate')
const asked = async () => (await g.asked()).requests

async function start(concurrency) {
  await page.getByRole('button', { name: 'Validate all' }).click()
  await dialog(page).getByLabel('At once').fill(String(concurrency))
  await dialog(page).getByRole('button', { name: 'Validate', exact: true }).click()
}

test('a validation tells how far it is, survives a reload and runs once', async () => {
  expectFault(page, 'status of 409')
  await start(4)
  await noDialog(page)
  await job().getByText(`/ ${many}`).waitFor()
  const seen = []
  await until('it gets on', async () => { seen.push(await done()); return seen.at(-1) >= 8 })
  await check(page)
  await shot(page, 'jobs-validate-1280-light-en')
  const [{ id }] = await validations()

  await page.reload()
  await job().getByText(`/ ${many}`).waitFor()
  await until('it gets on after the reload', async () => { seen.push(await done()); return seen.at(-1) > seen[0] + 12 })
  assert.deepEqual(seen, seen.toSorted((a, b) => a - b), 'it never goes back')
  assert.ok(seen.at(-1) < many, 'it still runs')

  await start(4)
  await dialog(page).getByRole('alert').filter({ hasText: 'is running already' }).waitFor()
  await dialog(page).getByRole('button', { name: 'Follow the running one' }).click()
  await noDialog(page)
  assert.deepEqual((await validations()).map((j) => j.id), [id], 'there is one')
  assert.equal(await page.locator('.dock .job').count(), 1)
  faultless(page)
})

test('a cancelled validation stops asking within a second', async () => {
  await job().getByRole('button', { name: 'Cancel' }).click()
  await job().getByText('cancelled').waitFor()
  const [last] = await validations()
  assert.equal(last.state, 'cancelled')
  const took = Date.parse(last.ended_at) - Date.parse((await cancelled()).at)
  assert.ok(took <= 1000, `it went on for ${took} ms`)
  const before = await asked()
  const [other] = (await g.api('GET', 'keys/gemini?limit=1')).items
  await g.api('POST', `keys/gemini/${other.id}/validate`, {}) // takes as long as several of the job's would
  assert.equal(await asked(), before + 1, 'Google is asked nothing more')
  assert.ok(last.done < many)
  assert.equal(await done(), last.done, 'what was done is shown')
  await toast(page, `${last.done} keys validated`).waitFor() // for those who followed it
  await check(page)

  const [download] = await Promise.all([page.waitForEvent('download'), job().getByRole('button', { name: /lines/ }).click()])
  assert.match(download.suggestedFilename(), /\.csv$/)
  await job().getByRole('button', { name: 'Close' }).click()
  await page.locator('.dock .job').waitFor({ state: 'detached' })
  await until('the server has forgotten it', async () => (await validations()).length === 0)
  faultless(page)
})

/** The entry of the audit log that tells when the job was cancelled. */
const cancelled = async () => (await g.api('GET', 'audit?limit=50')).items.find((e) => /cancel/.test(e.action))

test('a whole validation ends with what it found', async () => {
  await g.setKey(g.known[0], 'invalid')
  await g.setKey(g.known[1], 'leaked')
  await start(64)
  await noDialog(page)
  await toast(page, `${many} keys validated, 2 invalid.`).waitFor()
  await job().getByText('2 invalid').waitFor()
  await toast(page, 'validated').getByRole('button', { name: 'Show them' }).click()
  await page.locator('.toolbar .count', { hasText: '2 keys' }).waitFor()
  await page.waitForURL(/status=invalid/)
  await check(page)
  faultless(page)
})

/** How far the lower end of a box stands behind the dock; 0 or less for not at all. */
const behind = async (box) => {
  const [end, dock] = [await box.boundingBox(), await page.locator('.dock').boundingBox()]
  return end && dock ? end.y + end.height - dock.y : Infinity // drawn anew just now
}

test('nothing stays behind the dock: a table and a page end before it', async () => {
  const last = page.locator('table.grid tbody tr:not(.pad)').last()
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 800 })
    await page.evaluate(() => { location.hash = '/keys' })
    await job().waitFor()
    await settled(page)
    await page.locator('.vbox').focus()
    await page.keyboard.press('End')
    await until('the last row is in sight', async () => (await page.locator(`tr[aria-rowindex="${many + 1}"]`).count()) === 1)
    await until(`the last row is before the dock at ${width}`, async () => (await behind(last)) <= 0)
    await shot(page, `jobs-dock-${width}-light-en`)
    await page.evaluate(() => { location.hash = '/settings' })
    await page.locator('main .page h1', { hasText: 'Settings' }).waitFor()
    await settled(page)
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight))
    await until(`the page ends before the dock at ${width}`, async () => (await behind(page.locator('main .page > *').last())) <= 0)
  }
  await page.setViewportSize({ width: 1280, height: 800 })
  const room = () => page.evaluate(() => document.documentElement.style.getPropertyValue('--dock'))
  assert.match(await room(), /^\d+px$/)
  for (const each of (await g.api('GET', 'jobs')).items) await g.api('DELETE', `jobs/${each.id}`)
  await page.reload()
  await settled(page)
  assert.equal(await room(), '', 'no room is kept for nothing')
  faultless(page)
})
