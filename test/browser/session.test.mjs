// SPDX-License-Identifier: Apache-2.0
// Who may come in, for how long, and from where.
import assert from 'node:assert/strict'
import http from 'node:http'
import { before, test } from 'node:test'
import { check, enter, expectFault, gateway, open, settled, until } from './harness.mjs'

let g
before(async () => {
  g = await gateway({ keys: 1, any_host: true })
})

const key = (page) => page.locator('input[type=password]').first()
const heading = (page) => page.locator('h1').first()

test('an admin key opens the page that was wanted, with and without Bearer', async () => {
  for (const [text, route, title] of [[g.admin, '/keys', 'Gemini keys'], [`Bearer ${g.admin}`, '/settings?section=log', 'Settings']]) {
    const page = await open(g, { route, signIn: false })
    assert.equal(await heading(page).textContent(), 'Sign in')
    await enter(page, text)
    await settled(page)
    assert.equal((await heading(page).textContent()).trim(), title)
    assert.equal(new URL(page.url()).hash, '#' + route)
    const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie, location.href]))
    assert.ok(!kept.includes(g.admin), 'the admin key stays on the server')
    assert.deepEqual(page.faults, [])
    await page.context().close()
  }
})

test('a wrong key is refused, the sixth has to wait', async () => {
  const own = await gateway({ keys: 1 }) // the count is per address, and all tests have the same
  const page = await open(own, { signIn: false })
  expectFault(page, 'status of 401', 'status of 429')
  await key(page).waitFor()
  for (let i = 1; i <= 5; i++) {
    const answer = page.waitForResponse((r) => r.request().method() === 'POST' && r.url().endsWith('/admin/session'))
    await key(page).fill(`wrong key number ${i}`)
    await key(page).press('Enter')
    assert.equal((await answer).status(), 401)
    await page.getByText('This admin key is not right.').waitFor()
  }
  const answer = page.waitForResponse((r) => r.request().method() === 'POST' && r.url().endsWith('/admin/session'))
  await key(page).fill(own.admin)
  await key(page).press('Enter')
  assert.equal((await answer).status(), 429)
  assert.ok(Number((await answer).headers()['retry-after']) > 0)
  const said = page.getByText(/Too many wrong keys\. Try again in/)
  await said.waitFor()
  assert.ok(await page.getByRole('button', { name: 'Sign in' }).isDisabled())
  const before = await said.textContent()
  await until('the countdown goes on', async () => (await said.textContent()) !== before)
  await check(page)
})

test('signing out in one tab ends the other', async () => {
  const page = await open(g)
  const other = await page.context().newPage()
  await other.goto(g.base + '/admin/ui/#/keys')
  await settled(other)
  assert.equal((await heading(other).textContent()).trim(), 'Gemini keys', 'the second tab is signed in by the first one')
  await page.getByRole('button', { name: 'Account and help' }).last().click()
  await page.getByRole('menuitem', { name: 'Sign out' }).click()
  for (const tab of [page, other]) await tab.getByRole('heading', { name: 'Sign in' }).waitFor()
  const status = await other.evaluate(async () => (await fetch('../session')).status)
  assert.equal(status, 401, 'the server has forgotten the session')
  await page.context().close()
})

test('a session that ends asks again over the half-filled form', async () => {
  const page = await open(g, { route: '/keys?import=1' })
  expectFault(page, 'status of 401')
  const text = page.getByLabel('Keys', { exact: true })
  await Promise.all([page.waitForResponse((r) => r.url().includes('keys/gemini/import')), text.fill('half a ke')])
  await g.api('DELETE', 'sessions')
  await text.pressSequentially('y') // whose preview needs the session
  const again = page.locator('dialog[open]', { hasText: 'Sign in again' })
  await again.waitFor()
  await again.locator('input[type=password]').fill(g.admin)
  await again.locator('input[type=password]').press('Enter')
  await again.waitFor({ state: 'detached' })
  assert.equal(await text.inputValue(), 'half a key')
  await page.context().close()
})

test('an idle page warns before the session ends', async () => {
  const page = await open(g, { signIn: false })
  await page.clock.install({ time: new Date() })
  await enter(page, g.admin)
  await settled(page)
  await page.clock.fastForward('29:15')
  const warning = page.locator('dialog[open]', { hasText: 'You will be signed out' })
  await warning.waitFor()
  const ping = page.waitForResponse((r) => r.url().endsWith('/admin/session/ping'))
  await warning.getByRole('button', { name: 'Stay signed in' }).click()
  assert.equal((await ping).status(), 204)
  await warning.waitFor({ state: 'detached' })
  await page.context().close()
})

test('the longest time of a session ends it, and a sign of life does not help; what was typed stays', async () => {
  const page = await open(g, { signIn: false })
  page.setDefaultTimeout(30_000)
  expectFault(page, 'status of 401')
  await g.api('PATCH', 'config', { 'session.idle': '20m', 'session.absolute': '20m' })
  await page.clock.install({ time: new Date() })
  await enter(page, g.admin)
  await page.evaluate(() => { location.hash = '/keys?import=1' })
  const text = page.getByLabel('Keys', { exact: true })
  await Promise.all([page.waitForResponse((r) => r.url().includes('keys/gemini/import')), text.fill('half a key'), page.clock.runFor(1000)])
  await page.clock.fastForward('19:15')
  const warning = page.locator('dialog[open]', { hasText: 'You will be signed out' })
  await warning.getByText('The longest time of a session is over in').waitFor()
  assert.equal(await warning.getByRole('button', { name: 'Stay signed in' }).count(), 0, 'a sign of life would not help')
  await g.api('DELETE', 'sessions') // as the server does then
  await page.clock.fastForward('01:00')
  const again = page.locator('dialog[open]', { hasText: 'Sign in again' })
  await again.waitFor()
  await check(page)
  await again.locator('input[type=password]').fill(g.admin)
  await again.locator('input[type=password]').press('Enter')
  await again.waitFor({ state: 'detached' })
  assert.equal(await text.inputValue(), 'half a key')
  await g.api('PATCH', 'config', { 'session.idle': null, 'session.absolute': null })
  await page.context().close()
})

test('an idle page that nobody answers for asks who is there, over the form', async () => {
  const page = await open(g, { signIn: false })
  page.setDefaultTimeout(30_000)
  expectFault(page, 'status of 401')
  await page.clock.install({ time: new Date() })
  await enter(page, g.admin)
  await page.evaluate(() => { location.hash = '/users' })
  await page.getByRole('button', { name: 'Create user key' }).first().click()
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('half a name')
  await page.clock.fastForward('29:30')
  await page.locator('dialog[open]', { hasText: 'You will be signed out' }).waitFor()
  await g.api('DELETE', 'sessions') // as the server does after 30 minutes
  await page.clock.fastForward('00:40')
  const again = page.locator('dialog[open]', { hasText: 'Sign in again' })
  await again.locator('input[type=password]').fill(g.admin)
  await again.locator('input[type=password]').press('Enter')
  await again.waitFor({ state: 'detached' })
  assert.equal(await page.getByRole('textbox', { name: 'Name', exact: true }).inputValue(), 'half a name')
  await page.context().close()
})

test('cookies are of this host only, and Secure where there is TLS', async () => {
  const secure = await gateway({ keys: 1, tls: true, host: 'localhost' })
  for (const [gate, name, flag] of [[g, 'gb_session', false], [secure, '__Host-gb_session', true]]) {
    const page = await open(gate)
    await settled(page)
    const cookies = await page.context().cookies()
    assert.deepEqual(cookies.map((c) => c.name), [name])
    const [{ httpOnly, sameSite, path, secure: marked, expires }] = cookies
    assert.deepEqual({ httpOnly, sameSite, path, marked, expires }, { httpOnly: true, sameSite: 'Strict', path: '/', marked: flag, expires: -1 })
    assert.equal(await page.evaluate(() => document.cookie), '')
    assert.deepEqual(page.faults, [])
    await page.context().close()
  }
})

test('a page of another site cannot change anything, a script with the key can', async () => {
  const page = await open(g)
  const other = await page.context().newPage() // same browser, so that a cookie could come along
  const own = await gateway({})
  const elsewhere = own.base.replace('127.0.0.1', 'localhost') + '/'
  const attempts = [
    ['keys/user', '{"name":"stolen","note":"', '"}', 401, 'missing_admin_key'], // the cookie does not come along
    ['session', `{"key":"${g.admin}","x":"`, '"}', 403, 'cross_origin'],
  ]
  for (const [path, name, value, status, code] of attempts) {
    await other.goto(elsewhere)
    // A form is what a browser sends anywhere without asking; its body can be made JSON.
    const [answer] = await Promise.all([
      other.waitForResponse(`${g.base}/admin/${path}`),
      other.evaluate(([action, field, rest]) => {
        const form = Object.assign(document.createElement('form'), { method: 'POST', enctype: 'text/plain', action })
        form.append(Object.assign(document.createElement('input'), { name: field, value: rest }))
        document.body.append(form)
        form.submit()
      }, [`${g.base}/admin/${path}`, name, value]),
    ])
    assert.deepEqual([answer.status(), (await answer.json()).code], [status, code], path)
  }
  await g.api('POST', 'keys/user', { name: 'by script' }, { status: 201, headers: { Origin: 'https://other.example', 'Sec-Fetch-Site': 'cross-site' } })
  const names = (await g.api('GET', 'keys/user')).items.map((k) => k.name)
  assert.deepEqual(names, ['by script'])
  await page.context().close()
})

test('a name that was made to point here (DNS rebinding) gets no page and no session', async () => {
  const { port } = new URL(g.base)
  const ask = (method, path, host, body) => new Promise((resolve, reject) => {
    const headers = { Host: host, ...(body && { 'Content-Type': 'application/json', Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' }) }
    const r = http.request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
      answer.resume()
      answer.on('end', () => resolve(answer.statusCode))
    })
    r.on('error', reject)
    r.end(body)
  })
  const signIn = JSON.stringify({ key: g.admin })
  assert.equal(await ask('GET', '/admin/ui/', `127.0.0.1:${port}`), 200)
  assert.equal(await ask('GET', '/admin/ui/', `evil.example:${port}`), 403)
  assert.equal(await ask('POST', '/admin/session', `127.0.0.1:${port}`, signIn), 201)
  assert.equal(await ask('POST', '/admin/session', `evil.example:${port}`, signIn), 403)
})
