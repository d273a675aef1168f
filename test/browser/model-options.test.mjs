// SPDX-License-Identifier: Apache-2.0
// What is set for a model or an alias in the pages: it is kept, and requests have it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dialog, faultless, go, noDialog, toast } from './harness-more.mjs'
import { enter, expectFault, gateway, open, until } from './harness.mjs'

const g = await gateway({ keys: 2, bodies: true, admin: 'viewer_key {env.GB_VIEWER_KEY}' })
const { key } = await g.api('POST', 'keys/user', { name: 'client', unlimited: true })
const job = await g.api('POST', 'models/sync')
await until('the models are here', async () => (await g.api('GET', `jobs/${job.id}`)).state === 'done')
const page = await open(g, { route: '/models' })
page.setDefaultTimeout(30_000)

const flash = 'gemini-2.5-flash'
const model = async (id = flash) => (await g.api('GET', 'models')).items.find((m) => m.id === id)
/** What Google is asked when a client asks for a model. */
async function sent(more = {}) {
  const r = await g.chat(key, 'Hello', more)
  assert.equal(r.status, 200, await r.text())
  const { entries } = await g.asked()
  return JSON.parse(entries.filter((e) => e.path.includes('generateContent')).at(-1).body)
}
const thinks = async (more) => (await sent(more)).generationConfig?.thinkingConfig?.thinkingBudget
const field = (name) => dialog(page).getByLabel(name, { exact: true })
async function type(name, text) {
  await field(name).fill(text)
  await field(name).press('Tab')
}
const undo = (text) => page.locator('.toast', { hasText: text }).last().getByRole('button', { name: 'Undo' }).click() // the newest
const fault = (text) => dialog(page).locator('.field.wrong', { hasText: text }).first().waitFor()

const shows = (name, value) => until(`${name} is ${value || 'empty'}`, async () => (await field(name).inputValue()) === value)

test('defaults of a model are kept when a field is left, and requests have them', async () => {
  assert.equal(await thinks(), undefined)
  await go(page, `/models?id=${flash}`)
  await field('Thinking budget').selectOption('tokens')
  await type('Tokens to think', '4,096')
  await toast(page, 'Thinking budget: saved').waitFor()
  assert.equal((await model()).thinking_budget, 4096)
  assert.equal(await thinks(), 4096)
  assert.equal(await thinks({ reasoning_effort: 'low' }), 1024, 'a request that says it itself')

  await field('Safety filter').selectOption('block_only_high')
  await toast(page, 'Safety filter: saved').waitFor()
  await type('Wait for the first output', '12.5')
  await toast(page, 'Wait for the first output: saved').waitFor()
  const now = await model()
  assert.deepEqual([now.safety, now.first_output_ms], ['block_only_high', 12_500])
  const { safetySettings } = await sent()
  assert.ok(safetySettings.length > 3 && safetySettings.every((s) => s.threshold === 'BLOCK_ONLY_HIGH'), JSON.stringify(safetySettings))

  await go(page, `/models?id=${flash}`) // read anew
  await shows('Thinking budget', 'tokens')
  await shows('Tokens to think', '4096')
  await shows('Safety filter', 'block_only_high')
  await shows('Wait for the first output', '12.5')

  await field('Thinking budget').selectOption('few')
  await until('it is saved', async () => (await model()).thinking_budget === 0)
  assert.equal(await thinks(), 0)
  await undo('Thinking budget: saved')
  await until('it is as before', async () => (await model()).thinking_budget === 4096)
  await shows('Tokens to think', '4096')
  for (const [name, none] of [['Thinking budget', 'unset'], ['Safety filter', '']]) await field(name).selectOption(none)
  await type('Wait for the first output', '')
  await until('nothing is set', async () => { const m = await model(); return m.thinking_budget === null && m.safety === null && m.first_output_ms === null })
  assert.equal(await thinks(), undefined)
  faultless(page)
})

test('what cannot be is said at its field, and nothing is saved', async () => {
  await go(page, `/models?id=${flash}`)
  const before = await model()
  await field('Thinking budget').selectOption('tokens')
  await type('Tokens to think', '1000001')
  await fault('A whole number from 1 to 1,000,000.')
  await type('Wait for the first output', '0.05')
  await fault('From 0.1 to 86,400 seconds.')
  await type('Input', '1,25')
  await fault('An amount up to 1,000, such as 0.075.')
  await type('Input', '0.075')
  await field('Free tier: Requests per minute').focus() // leaves the price with one of two
  await fault('Needed, too.')
  await type('Free tier: Requests per minute', '0')
  await fault('A whole number above 0.')
  assert.deepEqual(await model(), before)
  assert.equal(await field('Input').inputValue(), '0.075', 'what was typed stays')

  // What only the server knows.
  expectFault(page, 'status of 400')
  const detail = { title: 'Bad', status: 400, code: 'invalid_body', detail: 'No.', errors: [{ field: 'limits.paid.tpm', code: 'invalid_value', message: 'must be less' }] }
  await page.route('**/admin/models/*', (r) => r.fulfill({ status: 400, contentType: 'application/problem+json', json: detail }), { times: 1 })
  await type('Paid tier: Tokens per minute', '5000')
  await dialog(page).locator('td', { has: page.getByLabel('Paid tier: Tokens per minute') }).getByText('must be less').waitFor()
  await type('Paid tier: Tokens per minute', '')
  await until('the fault is gone', async () => (await dialog(page).getByText('must be less').count()) === 0)

  await go(page, '/models?id=gemini-embedding-001')
  assert.ok(await field('Thinking budget').isDisabled())
  await dialog(page).getByText('This model takes no thinking budget.').waitFor()
  faultless(page)
})

test('an own price goes by its digits, and the next request costs it', async () => {
  await go(page, `/models?id=${flash}`)
  const table = (await model()).price
  assert.equal(await field('Input').getAttribute('placeholder'), String(table.input_nano_per_mtok / 1e9))
  await type('Input', '0.075')
  await type('Output', '1.25')
  await toast(page, 'Own price: saved').waitFor()
  assert.deepEqual((await model()).own_price, { input_nano_per_mtok: 75_000_000, cached_nano_per_mtok: null, output_nano_per_mtok: 1_250_000_000 })
  await dialog(page).getByText('$0.075 per million tokens').waitFor()
  assert.equal((await model()).price.source, 'own')
  await sent({ user: 'own price' })
  const last = await until('it is logged', async () => {
    const [first] = (await g.api('GET', 'requests?limit=1')).items
    return first?.price?.startsWith('own') && first
  })
  const { input, output, thoughts } = last.tokens
  assert.equal(last.cost_nano, Math.round((input * 75_000_000 + (output + thoughts) * 1_250_000_000) / 1e6))

  await go(page, `/models?id=${flash}`)
  for (const [name, value] of [['Input', '0.075'], ['Cached input', ''], ['Output', '1.25']]) await shows(name, value)
  await type('Cached input', '0.01')
  await until('the cached ones, too', async () => (await model()).own_price.cached_nano_per_mtok === 10_000_000)
  await dialog(page).getByRole('button', { name: 'Back to the table' }).click()
  await until('it is the table\'s', async () => (await model()).own_price === null)
  assert.deepEqual((await model()).price, table)
  await shows('Input', '')
  await undo('Own price: saved')
  await until('it is back', async () => (await model()).own_price?.cached_nano_per_mtok === 10_000_000)
  faultless(page)
})

test('limits per project: by tier, and back to what is learned', async () => {
  await go(page, `/models?id=${flash}`)
  await type('Free tier: Tokens per minute', '4,000,000')
  await until('it is saved', async () => (await model()).limits.free?.tpm === 4_000_000)
  await type('Free tier: Requests per day', '250')
  await until('both are', async () => (await model()).limits.free.rpd === 250)
  assert.deepEqual((await model()).limits, { free: { rpm: null, tpm: 4_000_000, rpd: 250 }, paid: null })
  await type('Free tier: Tokens per minute', '')
  await type('Free tier: Requests per day', '')
  await until('nothing is set', async () => (await model()).limits.free === null)
  await undo('Limits per project: saved')
  await until('one is back', async () => (await model()).limits.free !== null)
  faultless(page)
})

test('limits per project: what is taken back at once is taken back, however slow the server', async () => {
  await g.api('PATCH', 'models/' + flash, { limits: { free: null } })
  await go(page, `/models?id=${flash}`)
  let changes = 0
  const slow = async (route) => {
    await new Promise((done) => setTimeout(done, 700))
    if (route.request().method() === 'PATCH') changes++
    await route.continue()
  }
  await page.route('**/admin/models/*', slow)
  await type('Free tier: Requests per day', '250')
  await type('Free tier: Requests per day', '')
  await until('both changes are sent, and nothing is set', async () => changes === 2 && (await model()).limits.free === null)
  await page.unroute('**/admin/models/*', slow)
  faultless(page)
})

const aliases = async () => (await g.api('GET', 'aliases')).items.filter((a) => a.source === 'store')
const alias = async (name) => (await aliases()).find((a) => a.name === name)

test('options of an alias: requests have them, and no change of the list loses them', async () => {
  await g.api('PATCH', 'models/' + flash, { thinking_budget: 2048 })
  await go(page, '/models?tab=aliases')
  await page.getByRole('button', { name: 'Add alias' }).click()
  await field('Name or pattern').fill('finder')
  await field('Gemini models').fill(flash)
  await field('Thinking budget').selectOption('tokens')
  await dialog(page).getByRole('button', { name: 'Save' }).click()
  await fault('A whole number from 1 to 1,000,000.')
  await field('Tokens to think').fill('512')
  await dialog(page).getByRole('checkbox', { name: 'Google Search' }).check()
  await field('Tokens to think').press('Enter') // which saves what is typed, too
  await toast(page, 'finder saved').waitFor()
  await noDialog(page)
  const set = async () => { const { thinking_budget, search } = (await alias('finder')) ?? {}; return [thinking_budget, search] }
  assert.deepEqual(await set(), [512, true])
  const body = await sent({ model: 'finder' })
  assert.equal(body.generationConfig.thinkingConfig.thinkingBudget, 512, 'goes before the model’s own')
  assert.ok(body.tools.some((tool) => tool.googleSearch), JSON.stringify(body.tools))
  assert.equal((await sent({ model: flash })).tools, undefined)

  const line = page.locator('tr[data-alias=finder]')
  for (const word of ['512 tokens to think', 'Google Search']) await line.locator('.tag', { hasText: word }).waitFor()
  await page.getByLabel('Test a name').fill('finder')
  await page.locator('.testname', { hasText: `finder takes it: asks for ${flash}` }).filter({ hasText: '512 tokens to think' }).filter({ hasText: 'Google Search' }).waitFor()

  await page.getByRole('button', { name: 'Presets' }).click()
  await page.getByRole('menuitem', { name: 'OpenAI names' }).click()
  await until('they are added', async () => (await aliases()).length > 3)
  assert.deepEqual(await set(), [512, true])
  await page.getByRole('button', { name: 'Move finder', exact: true }).focus()
  await page.keyboard.press('Alt+ArrowDown')
  await until('it is moved', async () => (await aliases())[1].name === 'finder')
  assert.deepEqual(await set(), [512, true])
  await page.getByRole('button', { name: 'Remove finder' }).click()
  await until('it is gone', async () => !(await alias('finder')))
  await undo('finder removed')
  await until('it is back', async () => alias('finder'))
  assert.deepEqual(await set(), [512, true])

  await page.getByRole('button', { name: 'Edit finder' }).click()
  await shows('Tokens to think', '512')
  await field('Thinking budget').selectOption('unset')
  await dialog(page).getByRole('checkbox', { name: 'Google Search' }).uncheck()
  await dialog(page).getByRole('button', { name: 'Save' }).click()
  await until('it has no options', async () => (await line.locator('.options').count()) === 0)
  assert.equal(await thinks({ model: 'finder' }), 2048, 'the model’s own')
  faultless(page)
})

test('who only reads sees it all and changes nothing', async () => {
  const other = await open(g, { route: `/models?id=${flash}`, signIn: false, lang: 'zh-CN', width: 390, theme: 'dark' })
  await enter(other, g.viewer)
  const d = dialog(other)
  await d.getByText('每个项目的限额').waitFor()
  assert.equal(await d.getByLabel('思考 Token 数', { exact: true }).inputValue(), '2048')
  assert.equal(await d.locator('select:enabled, input:enabled').count(), 0)
  assert.equal(await d.getByRole('button', { name: '恢复为价格表' }).count(), 0)
  assert.deepEqual(other.faults, [])
  await other.context().close()
})
