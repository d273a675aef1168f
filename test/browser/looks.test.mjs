// SPDX-License-Identifier: Apache-2.0
// Every page, with real data in it, in every look: what check() holds all pages to,
// and no English left where Chinese is spoken.
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { check, enter, gateway, open, settled, shot, until } from './harness.mjs'
import { traffic } from './traffic.mjs'
import { english } from './words.mjs'

const settings = ['routing', 'limits', 'requests', 'timeouts', 'keys', 'log', 'security', 'appearance', 'backup', 'deleted', 'audit']

// route, title in English and in Chinese
const pages = [
  ['/', /^Overview/, /^概览/],
  ['/keys', /^Gemini keys/, /^Gemini 密钥/],
  ['/users', /^User keys/, /^用户密钥/],
  ['/models', /^Models/, /^模型/],
  ['/models?tab=aliases', /^Models/, /^模型/],
  ['/requests', /^Requests/, /^请求日志/],
  ['/playground', /^Playground/, /^调试台/],
  ...settings.map((s) => [`/settings?section=${s}`, /^Settings/, /^设置/]),
  ['/about', /^Health/, /^健康/],
]

const noEnglish = async (page) => assert.equal((await english(page)).join('; '), '')

// judge gives what is wrong with the page as it is, in light and in dark; the rest
// of the pages follows. One document serves both, which also tries the switch.
async function judge(page, { lang, width }, title, name, { accessible = true } = {}) {
  // The page before stays until the new one is there.
  if (title) await until(`the title of ${name}`, async () => title.test(await page.title()))
  const problems = []
  for (const theme of ['light', 'dark']) {
    const tryTo = (act) => act().catch((e) => problems.push(`${name}, ${theme}: ${e.message}`))
    await page.emulateMedia({ colorScheme: theme })
    await settled(page)
    if ((theme === 'light') === (lang === 'en')) await shot(page, `${name}-${width}-${theme}-${lang}`)
    await tryTo(() => check(page, { lang, title, accessible }))
    page.faults.length = 0
  }
  if (lang === 'zh-CN') await noEnglish(page).catch((e) => problems.push(`${name}: ${e.message}`))
  return problems
}

const named = (route) => route.replace(/^\/$/, 'overview').replace(/^\//, '').replace(/\?\w+=/, '-')
const go = (page, route) => page.evaluate((r) => { location.hash = r }, route)

let g, setup
before(async () => {
  ;[g, setup] = await Promise.all([gateway({ keys: 3, dead: 1 }), gateway({ no_admin_key: true })])
  await traffic(g)
})

const widthsAndLanguages = [1280, 390].flatMap((width) => ['en', 'zh-CN'].map((lang) => ({ width, lang })))

describe('every page', { concurrency: 2 }, () => {
  for (const look of widthsAndLanguages) {
    test(`${look.width} ${look.lang}`, async () => {
      const zh = look.lang === 'zh-CN'
      const guest = await open(setup, { ...look, signIn: false, route: '/setup' })
      await guest.locator('.steps').waitFor()
      const problems = await judge(guest, look, zh ? /^初始设置/ : /^Set up/, 'setup')
      await guest.context().close()

      const page = await open(g, { ...look, signIn: false })
      await page.locator('input[type=password]').waitFor()
      problems.push(...(await judge(page, look, zh ? /^登录/ : /^Sign in/, 'signin')))
      await enter(page, g.admin)
      for (const [route, en, chinese] of pages) {
        await go(page, route)
        // Groups of settings are built of the same parts: axe sees them in one language.
        const accessible = !zh || !route.includes('section=') || route.includes('routing')
        problems.push(...(await judge(page, look, zh ? chinese : en, named(route), { accessible })))
      }
      await page.context().close()
      assert.equal(problems.join('\n'), '')
    })
  }
})
