// SPDX-License-Identifier: Apache-2.0
// The playground: three APIs through the real route, and answers that stay text.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { faultless, go, row } from './harness-more.mjs'
import { gateway, open, until } from './harness.mjs'

const g = await gateway({ keys: 2 })
await g.api('POST', 'keys/user', { name: 'tight', limits: { rpm: 1 } })
const page = await open(g, { route: '/playground' })
page.setDefaultTimeout(30_000)

const answer = page.locator('article.turn.model').last()
const prose = async () => (await answer.locator('.prose').allTextContents()).join('\n')
const stop = page.getByRole('button', { name: /^Stop/ })

// choose types a model. The page puts its own there when it knows of one, which may be
// between Playwright's selecting and typing.
async function choose(model) {
  const field = page.getByLabel('Model or alias')
  await until(`${model} stands in the field`, async () => {
    await field.fill(model)
    return await field.inputValue() === model
  })
}
async function fresh({ api = 'OpenAI', model = 'gemini-2.5-flash' } = {}) {
  await go(page, '/playground')
  await page.getByRole('radiogroup', { name: 'API' }).getByRole('radio', { name: api }).click()
  await choose(model)
}
async function ask(text, { wait = true } = {}) {
  const before = await page.locator('article.turn.model').count()
  await page.getByRole('textbox', { name: 'Message' }).fill(text)
  await page.getByRole('textbox', { name: 'Message' }).press('Enter')
  const own = page.locator('article.turn.model').nth(before)
  await (wait ? own.and(page.locator('[aria-busy=false]')) : own).waitFor()
}

for (const [api, path] of [['OpenAI', '/v1/chat/completions'], ['Anthropic', '/v1/messages'], ['Gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent']]) {
  test(`${api}: an answer streams, and can be stopped`, async () => {
    await fresh({ api })
    const [request] = await Promise.all([page.waitForRequest((r) => r.method() === 'POST' && new URL(r.url()).pathname === path), ask('[[say Good morning]]')])
    assert.match(await prose(), /Good morning/)
    assert.ok(!JSON.stringify(await request.allHeaders()).includes(g.admin), 'the admin key is not sent along')
    await answer.locator('.served', { hasText: 'gemini-2.5-flash' }).waitFor()
    await answer.getByText('Show in the log').waitFor()

    await ask('[[events 600]] [[pace 200ms]]', { wait: false })
    await until('the first piece', async () => (await prose()).length > 0)
    const first = (await prose()).length
    await until('the next piece', async () => (await prose()).length > first)
    assert.ok(await stop.isVisible(), 'while it goes on')
    if (api === 'OpenAI') await page.keyboard.press('Escape')
    else await stop.click()
    await answer.getByText('Stopped.').waitFor()
    const kept = await prose()
    assert.ok(kept.length > first, 'what came is kept')
    assert.equal(await stop.count(), 0)
    await ask('[[say Once more]]')
    assert.match(await prose(), /Once more/)
    assert.ok((await page.locator('article.turn').allTextContents()).some((t) => t.includes(kept.slice(0, 20))), 'above the new one')
    faultless(page)
  })
}

test('images go to the model and come from it', async () => {
  const png = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
  await fresh()
  const file = page.locator('.composer input[type=file]')
  await file.setInputFiles({ name: 'a.svg', mimeType: 'image/svg+xml', buffer: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>') })
  await page.getByText('a.svg is no image that models take.').waitFor()
  await file.setInputFiles({ name: 'dot.png', mimeType: 'image/png', buffer: Buffer.from(png, 'base64') })
  await page.locator('.attached', { hasText: 'dot.png' }).waitFor()
  await ask('What is it?')
  assert.match(await prose(), /image\/png/)
  const drawn = (within) => within.locator('img.playimage').evaluate((img) => img.decode().then(() => img.naturalWidth))
  assert.equal(await drawn(page.locator('article.turn.user').last()), 1)
  await fresh({ api: 'Gemini', model: 'gemini-2.5-flash-image' })
  await ask('Draw a dot')
  assert.ok((await drawn(answer)) > 0)
  faultless(page)
})

test('errors say what happened, and limits of a user key hold', async () => {
  await fresh({ api: 'Anthropic' })
  await ask('[[status 400]]')
  await answer.getByRole('alert').filter({ hasText: '400' }).waitFor()
  await fresh()
  await page.getByLabel('Apply the limits of').fill('nobody')
  await page.getByText('No user key has this name.').waitFor()
  await page.getByLabel('Apply the limits of').fill('tight')
  await page.locator('.field small', { hasText: /^gb-/ }).waitFor() // it is found
  await ask('[[say one]]')
  assert.match(await prose(), /one/)
  await ask('[[say two]]')
  await answer.getByRole('alert').filter({ hasText: '429' }).waitFor()
  faultless(page)
})

test('one Gemini key answers, and what is wrong with it is said', async () => {
  const keys = (await g.api('GET', 'keys/gemini')).items
  const one = keys.at(-1)
  const served = async (id) => (await g.api('GET', `requests?request_id=${encodeURIComponent(id)}`)).items[0]
  await g.api('PATCH', `keys/gemini/${one.id}`, { name: 'the one' })
  await go(page, '/keys')
  await row(page, 'the one').locator('[data-menu]').click()
  await page.getByRole('menuitem', { name: 'Try in the playground' }).click()
  const field = page.getByLabel('Serve with')
  await until('its name stands in the field', async () => (await field.inputValue()) === 'the one')
  await choose('gemini-2.5-flash')
  for (let i = 0; i < 3; i++) {
    const [answered] = await Promise.all([page.waitForResponse((r) => r.url().endsWith('/v1/chat/completions')), ask('[[say fine]]')])
    assert.match(await prose(), /fine/)
    const { 'x-request-id': id } = await answered.allHeaders()
    const logged = await until('it is logged', () => served(id))
    assert.equal(logged.key_id, one.id)
  }
  await g.api('POST', `keys/gemini/${one.id}/disable`)
  await ask('Hello')
  await answer.getByRole('alert').filter({ hasText: '1 disabled' }).waitFor() // no other stands in
  await g.api('POST', `keys/gemini/${one.id}/enable`)

  // A name that is none is not sent as if nothing had been asked for.
  const asked = (await g.asked()).requests
  await field.fill('nobody')
  await page.getByText('No Gemini key has this name.').waitFor()
  await page.getByRole('textbox', { name: 'Message' }).fill('Hello')
  await page.getByRole('textbox', { name: 'Message' }).press('Enter')
  await page.getByText('Look at the marked options.').waitFor()
  await field.fill('the on')
  await page.getByText('1 key fits: choose it.').waitFor()
  await page.getByRole('textbox', { name: 'Message' }).press('Enter')
  await page.getByText('Choose a key, or empty the field.').waitFor()
  assert.equal((await g.asked()).requests, asked)
  await page.getByRole('button', { name: 'Back to defaults' }).click()
  assert.equal(await field.inputValue(), '')
  await ask('[[say any]]')
  assert.match(await prose(), /any/)
  faultless(page)
})

test('an answer is text, whatever it holds', async () => {
  const hostile = ['<script>window.pwned=1</script>', '<img src=x onerror=window.pwned=2>', '<svg onload=window.pwned=3>', '<a href="javascript:window.pwned=4">x</a>',
    '# <b>bold</b>', '<iframe srcdoc="<script>parent.pwned=5</script>"></iframe>', '&lt;i&gt;', '"><style>*{display:none}</style>', '{{constructor.constructor("window.pwned=6")()}}']
  for (const api of ['OpenAI', 'Anthropic', 'Gemini']) {
    await fresh({ api })
    await ask(`[[say ${hostile.join(' ')}]]`)
    const text = await prose()
    for (const piece of hostile) assert.ok(text.includes(piece), `${api}: ${piece} is not shown as it came: ${text}`)
    await page.getByRole('tab', { name: 'Raw events' }).click()
    await page.locator('.rawevents li').first().waitFor()
    assert.deepEqual(await page.evaluate(() => ({
      pwned: window.pwned, foreign: [...document.querySelectorAll('.playmain :is(script, iframe, style, object, embed, a[href^=javascript], [onerror], [onload])')].map((e) => e.outerHTML),
      images: document.querySelectorAll('.turn.model img').length,
    })), { pwned: undefined, foreign: [], images: 0 })
  }
  // The same in what errors quote, and in code that the answer fences.
  await fresh({ model: hostile[1] })
  await ask('Hello')
  await answer.getByRole('alert').waitFor()
  await fresh()
  await ask('[[say ```html\n<img src=x onerror=window.pwned=7>\n```]]')
  await until('its own answer is there, as text', async () => (await answer.textContent()).includes('<img src=x onerror=window.pwned=7>'))
  assert.equal(await answer.locator('img').count(), 0)
  assert.equal(await page.evaluate(() => window.pwned), undefined)
  faultless(page)
})
