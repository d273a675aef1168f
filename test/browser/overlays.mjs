// SPDX-License-Identifier: Apache-2.0
// Every dialog, drawer and menu in every look: it fits the window, axe has nothing to
// say, no English is left in Chinese, and it holds the focus and gives it back.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { checkDialog, confirmSudo, dialog, noDialog, row } from './harness-more.mjs'
import { check, enter, expectFault, gateway, open, shot, until } from './harness.mjs'
import { english, words } from './words.mjs'

// Names are figures, so that they are no English in Chinese.
let g, ids
async function prepare() {
  g = await gateway({ known: 6 })
  await g.api('POST', 'keys/gemini/import', { text: g.known.slice(0, 4).join('\n'), name_prefix: '4711', tags: ['first', 'shared'], batch: '12' })
  await until('they are validated', async () => (await g.api('GET', 'keys/gemini?limit=1')).counts.active === 4)
  await g.setKey(g.known[1], 'suspended')
  const user = await g.api('POST', 'keys/user', { name: '815', limits: { rpm: 60, budget: { day: 5 } }, labels: ['team'] })
  await g.api('POST', 'keys/user', { name: '816', expires_at: '2099-01-01T00:00:00Z' })
  for (const text of ['Hello', 'Hello', '[[status 400]]', 'Hello', 'Hello']) await (await g.chat(user.key, text)).text()
  await g.api('PUT', 'aliases', { items: [{ name: 'gpt-4o', targets: ['gemini-2.5-flash', 'gemini-2.5-pro'] }] })
  await g.api('POST', 'models/sync')
  await until('the models are known', async () => (await g.api('GET', 'models')).items.some((m) => m.id === 'gemini-2.5-pro'))
  const logged = await until('all are logged', async () => { const { items } = await g.api('GET', 'requests'); return items.length >= 5 && items })
  const { items: keys } = await g.api('GET', 'keys/gemini')
  ids = { user: user.id, key: keys.find((k) => k.status === 'invalid').id, request: logged[0].id }
}

const press = (p, name) => p.getByRole('button', { name, exact: true }).first().click()
const inDialog = (p, name) => dialog(p).getByRole('button', { name, exact: true }).first().click()
const rowMenu = async (p, name, item) => {
  await row(p, name).locator('[data-menu]').click()
  if (item) await p.getByRole('menuitem', { name: item, exact: true }).click()
}
const choose = async (p) => { // two rows
  const boxes = p.locator('tr[data-row] .chk input')
  for (const i of [0, 1]) if (!(await boxes.nth(i).isChecked())) await boxes.nth(i).click()
  await p.locator('.bulk').waitFor()
}
const bulk = (key) => async (p, t) => { await choose(p); await p.locator('.bulk').getByRole('button', { name: t(key), exact: true }).click() }
const account = (item) => async (p, t) => {
  await p.getByRole('button', { name: t('account') }).and(p.locator(':visible')).click()
  if (item) await p.getByRole('menuitem', { name: t(item) }).click()
}
const change = async (p, t, value = '4') => {
  const field = p.getByLabel(t('settings.field.retry.attempts'), { exact: true })
  await field.fill(value)
  await p.locator('.savebar').waitFor()
}

// name, page, how it is opened; then what must have the focus after Esc (none: it is no
// dialog that Esc closes), and a way to undo what was prepared.
const overlays = [
  ['key-import', '/keys', async (p, t) => {
    await press(p, t('keys.import'))
    await p.getByLabel(t('keys.import.text'), { exact: true }).fill(`${g.known[0]}, ${g.known[4]}\n${g.known[5]};${g.known[5]}\nAIzaNoKey`)
    await dialog(p).locator('.preview summary').click()
  }, '.pagehead .btn'],
  ['key-validate', '/keys', (p, t) => press(p, t('keys.validateAll')), '.pagehead .btn'],
  ['key-export', '/keys', async (p, t) => { await press(p, t('keys.export')); await dialog(p).getByLabel(t('keys.export.secrets')).check() }, '.pagehead .btn'],
  ['key', () => `/keys?id=${ids.key}`, (p) => dialog(p).locator('.edit').waitFor(), 'body, .vbox'],
  ['key-menu', '/keys', (p) => rowMenu(p, '4711 1')],
  ['key-delete', '/keys', (p, t) => rowMenu(p, '4711 1', t('delete')), '[data-menu]'],
  ['key-sudo', '/keys', (p, t) => rowMenu(p, '4711 1', t('keys.reveal')), '[data-menu]'],
  ['key-reveal', '/keys', async (p, t) => {
    await rowMenu(p, '4711 1', t('keys.reveal'))
    await confirmSudo(p, g)
    await p.locator('[data-secret]').waitFor()
  }, '[data-menu]'],
  ['keys-tag', '/keys', bulk('keys.tagAct'), '.bulk .btn'],
  ['keys-weight', '/keys', async (p, t) => { await bulk('keys.more')(p, t); await p.getByRole('menuitem', { name: t('keys.weightAct') }).click() }, '.bulk .btn'],
  ['keys-delete', '/keys', bulk('delete'), '.bulk .btn'],
  ['user-create', '/users', async (p, t) => {
    await press(p, t('users.create'))
    await dialog(p).getByText(t('users.more')).click()
    await dialog(p).getByRole('textbox', { name: t('users.cidrs') }).fill('10.0.0.300')
    await inDialog(p, t('users.create')) // with everything that can be wrong about it
    await dialog(p).locator('.badtext').first().waitFor()
  }, null, (p, t) => inDialog(p, t('users.discardDo'))],
  ['user-created', '/users', async (p, t) => {
    await press(p, t('users.create'))
    await dialog(p).getByRole('textbox', { name: t('users.name'), exact: true }).fill('817')
    await inDialog(p, t('users.create'))
    await p.locator('[data-secret]').first().waitFor()
  }, null, (p, t) => inDialog(p, t('users.leaveDo'))],
  ['user-edit', '/users', (p, t) => rowMenu(p, '815', t('users.edit')), '[data-menu]'],
  ['user-rotate', '/users', (p, t) => rowMenu(p, '815', t('users.rotate')), '[data-menu]'],
  ['user-delete', '/users', (p, t) => rowMenu(p, '815', t('users.delete')), '[data-menu]'],
  ['user', () => `/users?id=${ids.user}`, (p, t) => dialog(p).getByText(t('users.now')).waitFor(), 'body, .vbox'],
  ['users-expiry', '/users', bulk('users.bulk.extendShort'), '.bulk .btn'],
  ['users-limits', '/users', bulk('users.bulk.limitsShort'), '.bulk .btn'],
  ['users-label', '/users', bulk('users.bulk.labelShort'), '.bulk .btn'],
  ['model', '/models?id=gemini-2.5-pro', (p) => dialog(p).locator('h3').first().waitFor(), 'body, .vbox'],
  ['model-set', '/models?id=gemini-2.5-flash', async (p, t) => { // with everything that can be wrong about it
    await dialog(p).getByLabel(t('models.thinking'), { exact: true }).selectOption('tokens')
    for (const name of ['thinking.n', 'first', 'priceIn']) await dialog(p).getByLabel(t('models.' + name), { exact: true }).fill('x')
    for (const tier of ['free', 'paid']) await dialog(p).getByLabel(`${t('models.tier.' + tier)}: ${t('models.limit.tpm')}`).fill('0')
    await dialog(p).getByLabel(t('models.priceOut'), { exact: true }).press('Tab')
  }, 'body, .vbox'],
  ['alias', '/models?tab=aliases', async (p, t) => {
    await press(p, t('models.alias.editOne', { name: 'gpt-4o' }))
    await dialog(p).getByLabel(t('models.thinking'), { exact: true }).selectOption('tokens')
  }, '.rowbuttons .btn'],
  ['alias-presets', '/models?tab=aliases', (p, t) => press(p, t('models.preset'))],
  ['request', () => `/requests?id=${ids.request}`, (p) => dialog(p).locator('h3').nth(1).waitFor(), 'body, .vbox'],
  ['settings-review', '/settings', async (p, t) => { await change(p, t); await press(p, t('settings.review')) }, '.savebar .btn', (p, t) => press(p, t('settings.discard'))],
  ['settings-leave', '/settings', async (p, t) => {
    await change(p, t)
    await p.evaluate(() => { location.hash = '/about' })
    await dialog(p).getByText(t('settings.leaveText')).waitFor()
  }, 'body, input', (p, t) => press(p, t('settings.discard'))],
  ['settings-admin-key', '/settings?section=security', (p, t) => press(p, t('settings.rotateDo')), '.setting .btn'],
  ['settings-master-key', '/settings?section=security', (p, t) => press(p, t('settings.resealDo')), '.setting .btn'],
  ['settings-sessions', '/settings?section=security', (p, t) => press(p, t('settings.endDo')), '.setting .btn'],
  ['settings-restore', '/settings?section=backup', (p) => p.locator('.drop').last().locator('input[type=file]').setInputFiles(
    { name: 'gemini-balance-20260101.backup', mimeType: 'application/octet-stream', buffer: Buffer.from('x') }), 'body, .drop .btn, .drop input'],
  ['about-diagnostics', '/about', (p, t) => p.getByRole('button', { name: t('about.diagnostics') }).click(), '.links .link'],
  ['about-licences', '/about', (p, t) => p.getByRole('button', { name: t('about.licences') }).click(), '.links .link'],
  ['palette', '/', async (p) => { await p.keyboard.press('Control+k'); await dialog(p).getByRole('combobox').fill('4711'); await dialog(p).locator('li', { hasText: '4711 4' }).waitFor() }, 'body'],
  ['keyboard', '/', account('help'), '.btn'],
  ['account', '/', account()],
  ['signin-again', '/keys', async (p) => {
    await p.evaluate(() => fetch('../session', { method: 'DELETE' })) // which this tab does not notice
    await p.evaluate(() => { location.hash = '/users' })
    await dialog(p).locator('input[type=password]').waitFor()
  }, null, async (p) => { await dialog(p).locator('input[type=password]').fill(g.admin); await p.keyboard.press('Enter') }],
]

const menuOrDialog = (p) => p.locator('dialog[open], [popover]:popover-open').last()

/** What is wrong with how the overlay stands in the window. */
const fit = (p) => menuOrDialog(p).evaluate((el) => {
  const { left, top, right, bottom } = el.getBoundingClientRect()
  const out = []
  if (left < 0 || top < 0 || right > innerWidth + 0.5 || bottom > innerHeight + 0.5) out.push(`at ${[left, top, right, bottom].map(Math.round)} in ${innerWidth}×${innerHeight}`)
  for (const part of [el, ...el.querySelectorAll('.in, .body, footer, header')]) {
    if (part.scrollWidth > part.clientWidth + 1) out.push(`${part.className || part.tagName} is ${part.scrollWidth - part.clientWidth} px too wide`)
  }
  for (const b of el.querySelectorAll('footer button, header button')) {
    const r = b.getBoundingClientRect()
    if (!b.ariaLabel && b.querySelector('span')?.offsetWidth < 8) out.push(`${b.textContent.trim()} has no word to be seen`)
    if (r.width < 24 || r.height < 24) out.push(`${b.textContent || b.ariaLabel} is ${r.width}×${r.height}`)
  }
  return out
})

const still = (p) => p.waitForFunction(() => !document.getAnimations().some((a) => a.playState === 'running') && !document.querySelector('dialog[open] :is(.skeleton, [aria-busy=true])'))

async function show(p, route) {
  await p.evaluate(() => { location.hash = '#/between' })
  await p.waitForFunction(() => document.querySelector('main')?.textContent.length > 0 && !document.querySelector('.page.full, .pagehead .actions'))
  await p.evaluate((r) => { location.hash = '#' + r }, route)
  await p.locator('h1').waitFor()
  await p.waitForFunction(() => !document.querySelector('main .skeleton, tr.wait'))
}

/** Opens each, and looks at it in light and in dark; in Chinese in dark alone, where only the words differ. */
async function tour(look) {
  const t = await words(look.lang), problems = []
  const p = await open(g, { ...look, signIn: false })
  p.setDefaultTimeout(20_000)
  expectFault(p, 'status of 401', 'status of 403') // which the dialogs ask about
  await enter(p, g.admin)
  for (const [name, route, act, back, after] of overlays) {
    const tryTo = (what) => what().catch((e) => problems.push(`${name}, ${look.width} ${look.lang}: ${e.message}`))
    await tryTo(async () => {
      await show(p, typeof route === 'function' ? route() : route)
      await act(p, t)
      await menuOrDialog(p).waitFor()
      for (const theme of look.lang === 'en' ? ['light', 'dark'] : ['dark']) {
        await p.emulateMedia({ colorScheme: theme })
        await still(p)
        if ((theme === 'light') === (look.lang === 'en')) await shot(p, `${name}-${look.width}-${theme}-${look.lang}`)
        await tryTo(() => check(p, { lang: look.lang, within: 'dialog[open], [popover]:popover-open' }))
        p.faults.length = 0
        await tryTo(async () => assert.deepEqual(await fit(p), []))
      }
      if (look.lang === 'zh-CN') await tryTo(async () => assert.deepEqual(await english(p, 'dialog[open], [popover]:popover-open'), []))
      if (back && look.lang === 'en') await tryTo(() => checkDialog(p, back))
      else await p.keyboard.press('Escape')
      await after?.(p, t)
    })
    if (await dialog(p).count()) await p.reload() // what is broken must not break the next
  }
  await p.context().close()
  assert.equal(problems.join('\n'), '')
}

/** The tests of one width. */
export function overlaysAt(width) {
  before(prepare)
  describe('every dialog, drawer and menu', { concurrency: 2 }, () => {
    for (const lang of ['en', 'zh-CN']) test(`${width} ${lang}`, () => tour({ width, lang }))
  })
}

export async function phoneMenu() {
  for (const [lang, theme] of [['en', 'light'], ['zh-CN', 'dark']]) {
    const t = await words(lang)
    const p = await open(g, { width: 390, lang, theme, route: '/keys' })
    await p.getByRole('button', { name: t('menu') }).click()
    await dialog(p).locator('nav').waitFor()
    await still(p)
    await shot(p, `menu-390-${theme}-${lang}`)
    await check(p, { lang })
    assert.deepEqual(await fit(p), [])
    await checkDialog(p, '.topbar .btn')
    await p.getByRole('button', { name: t('menu') }).click()
    await dialog(p).getByRole('link', { name: t('nav.users') }).click()
    await noDialog(p)
    await p.getByRole('heading', { name: t('nav.users'), level: 1 }).waitFor()
    await p.context().close()
  }
}
