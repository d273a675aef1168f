// SPDX-License-Identifier: Apache-2.0
// Names, notes, labels and errors that would be markup, very long, from the right to
// the left, or emoji: the pages show them as text and stay in shape.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dialog, faultless, go } from './harness-more.mjs'
import { gateway, open, until } from './harness.mjs'

const corpus = [
  '<img src=x onerror=window.pwned=1>', '"><script>window.pwned=2</script>', "'onmouseover=window.pwned=3 x='", '<svg/onload=window.pwned=4>',
  '</textarea></title><b data-foreign>', '{{7*7}}${7*7}', 'javascript:window.pwned=5', '%3Cscript%3E', '&lt;b&gt;&amp;',
  '宽'.repeat(64), 'W'.repeat(64), 'שלום עולם مرحبا', '👩‍👩‍👧‍👦🏳️‍🌈'.repeat(4), 'e\u0301'.repeat(30), 'a\u200bb\u00adc',
]
const cut = (text, most) => [...text].slice(0, most).join('')

const g = await gateway({ keys: corpus.length })
const { items: gemini } = await g.api('GET', 'keys/gemini?limit=100')
const users = []
for (const [i, text] of corpus.entries()) {
  const user = await g.api('POST', 'keys/user', { name: cut(text, 64), note: text, labels: [cut(text, 32)], unlimited: true })
  users.push(user)
  await g.api('PATCH', `keys/gemini/${gemini[i].id}`, { name: cut(text, 64), note: text })
  await (await g.chat(user.key, `[[status 400]] ${text}`, { model: text })).text()
}
await g.chat(users[0].key, 'Hello')
// What would turn the text around it is refused where it is given.
await g.api('POST', 'keys/user', { name: 'a\u202egnp' }, { status: 400 })
const page = await open(g)
page.setDefaultTimeout(30_000)

// What no page of ours has: whatever is found came from a name.
const foreign = (p) => p.evaluate(() => ({
  pwned: window.pwned,
  nodes: [...document.querySelectorAll('[data-foreign], [onerror], [onload], [onmouseover], img[src="x"], a[href^="javascript"], #app script, body script:not([src])')].map((e) => e.outerHTML.slice(0, 100)),
}))
const sideways = (p) => p.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)

const firstUser = users[0].id, firstKey = gemini[0].id
const routes = ['/', '/users', `/users?id=${firstUser}`, '/keys', `/keys?id=${firstKey}`, '/requests', '/models?tab=aliases', '/settings?section=audit', '/settings?section=deleted',
  `/users?q=${encodeURIComponent(corpus[0])}`, `/requests?model=${encodeURIComponent(corpus[0])}`, `/keys?q=${encodeURIComponent(corpus[1])}`]

test('names are text on every page, wide and narrow', async () => {
  await g.api('PUT', 'aliases', { items: [{ name: 'W'.repeat(64), targets: ['gemini-2.5-flash'] }] })
  await until('all are logged', async () => (await g.api('GET', 'requests?limit=100')).items.length >= corpus.length)
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 900 })
    for (const route of routes) {
      await go(page, route)
      await page.waitForFunction(() => !document.querySelector('.skeleton, tr.wait'))
      if (route.includes('id=')) await dialog(page).locator('h3').first().waitFor()
      assert.deepEqual(await foreign(page), { pwned: undefined, nodes: [] }, route)
      assert.ok((await sideways(page)) <= 0, `${route} is ${await sideways(page)} px too wide at ${width}`)
      const heights = await page.locator('tr[data-row]').evaluateAll((all) => [...new Set(all.map((tr) => tr.offsetHeight))])
      assert.ok(heights.length <= 1, `${route}: rows of different heights: ${heights}`)
      faultless(page)
    }
  }
})

test('they are shown as they were given', async () => {
  await page.setViewportSize({ width: 1280, height: 900 })
  for (const route of ['/users', '/keys']) {
    await go(page, route)
    await page.locator('tr[data-row]').nth(corpus.length - 1).waitFor()
    const shown = await page.locator('tr[data-row]').allTextContents()
    for (const text of corpus) assert.ok(shown.some((row) => row.includes(cut(text, 64))), `${route}: ${text}`)
  }
  for (const [i, text] of [corpus[0], corpus[1], corpus[11]].entries()) {
    const user = users[corpus.indexOf(text)]
    await go(page, `/users?id=${user.id}`)
    await dialog(page).locator('h2', { hasText: cut(text, 64) }).waitFor()
    await dialog(page).getByRole('button', { name: 'Delete' }).click()
    await page.locator('dialog[open]').nth(1).locator('h2', { hasText: text }).waitFor() // the name in a sentence
    assert.deepEqual(await foreign(page), { pwned: undefined, nodes: [] }, String(i))
    await page.keyboard.press('Escape')
    await page.keyboard.press('Escape')
  }
  faultless(page)
})

test('what clients and Google say is text in the log', async () => {
  const agent = corpus[0]
  await fetch(g.base + '/v1/chat/completions', {
    method: 'POST', headers: { Authorization: `Bearer ${users[0].key}`, 'Content-Type': 'application/json', 'User-Agent': agent },
    body: JSON.stringify({ model: 'gemini-2.5-flash', messages: [{ role: 'user', content: `[[block ${corpus[1]}]]` }] }),
  })
  const found = await until('it is logged', async () => (await g.api('GET', 'requests?limit=100')).items.find((r) => r.agent === agent))
  await go(page, `/requests?id=${found.id}`)
  await dialog(page).locator('.break', { hasText: agent }).waitFor()
  await dialog(page).locator('h3', { hasText: 'Details' }).waitFor()
  assert.deepEqual(await foreign(page), { pwned: undefined, nodes: [] })
  faultless(page)
})
