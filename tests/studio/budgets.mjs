// How long what is long takes: measured and printed, and bounded only where the machine's load says nothing about it.
import assert from 'node:assert/strict'
import { browser, check, open, report } from './browser.mjs'

const MESSAGES = 2000
const PICTURES = 10_000
const page = await open(1280)
const heading = (name) => page.getByRole('heading', { name, exact: true })
/** Milliseconds until something is there. */
const took = async (work) => {
  const started = Date.now()
  await work()
  return Date.now() - started
}
/** Asks the server in the name of the account that is signed in. */
const ask = (path, body) => page.evaluate(async ([path, body]) => {
  const session = JSON.parse(localStorage.getItem('playhouse.session'))
  const { anon_key } = await (await fetch('/studio/config.json')).json()
  const headers = { apikey: anon_key, Authorization: `Bearer ${session.access_token}`, 'Content-Type': 'application/json', Prefer: Array.isArray(body) ? 'return=minimal' : 'return=representation' }
  const filled = body && JSON.parse(JSON.stringify(body).replaceAll('<me>', session.user.id))
  const answer = await fetch(path, { method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(filled) })
  if (!answer.ok) throw new Error(await answer.text())
  return answer.json().catch(() => null)
}, [path, body])

await check('the first screen', async () => {
  await page.goto('/')
  await page.getByLabel('Mail address').fill('ada@example.com')
  await page.getByLabel('Password', { exact: true }).fill('correct horse')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await heading('Hello, Ada').waitFor()
  const ms = await took(async () => {
    await page.reload()
    await heading('Hello, Ada').waitFor()
  })
  console.log(`first screen: ${ms} ms`)
})

await check(`a chat of ${MESSAGES} messages`, async () => {
  const [{ id: character }] = await ask('/rest/v1/characters?select=id&limit=1&order=created_at')
  const [{ id }] = await ask('/rest/v1/conversations', { user_id: '<me>', title: 'A long one', character_id: character })
  const said = Array.from({ length: MESSAGES }, (_, at) => ({
    conversation_id: id, sender: at % 2 ? 'assistant' : 'user', content: `Line ${at} of a long talk. ${'Words and more words. '.repeat(8)}`,
    created_at: new Date(Date.UTC(2024, 0, 1) + at * 60_000).toISOString(),
  }))
  await ask('/rest/v1/messages', said)
  const ms = await took(async () => {
    await page.goto(`/#/chats/${id}`)
    await page.getByText(`Line ${MESSAGES - 1} of a long talk.`).waitFor()
  })
  console.log(`chat of ${MESSAGES} messages, to the newest: ${ms} ms`)
  assert.ok(await page.locator('article').count() < 200, 'only the newest messages are drawn')
  const back = await took(async () => {
    await page.getByRole('button', { name: 'Show earlier messages' }).click()
    await page.getByText(`Line ${MESSAGES - 100} of a long talk.`).waitFor()
  })
  console.log(`sixty messages further back: ${back} ms`)
  const search = await took(async () => {
    await page.getByLabel('Search chats').fill('"line 77 of"')
    await page.getByRole('link', { name: /Line 77 of a long talk/ }).waitFor()
  })
  console.log(`one of ${MESSAGES} messages found by words: ${search} ms`)
  await page.getByRole('link', { name: /Line 77 of a long talk/ }).click()
  await page.locator('.found').getByText('Line 77 of a long talk.').waitFor()
})

await check(`a library of ${PICTURES} pictures`, async () => {
  const [row] = await ask('/rest/v1/user_library?limit=1&asset_type=eq.image')
  const rows = Array.from({ length: PICTURES }, (_, at) => ({
    user_id: '<me>', asset_type: 'image', storage_path: row.storage_path, file_size_bytes: row.file_size_bytes, mime_type: row.mime_type,
    original_prompt: `picture number ${at}`, model_used: row.model_used, created_at: new Date(Date.UTC(2024, 0, 1) + at * 1000).toISOString(),
  }))
  for (let at = 0; at < PICTURES; at += 2000) await ask('/rest/v1/user_library', rows.slice(at, at + 2000))
  const ms = await took(async () => {
    await page.goto('/#/library')
    await page.getByRole('button', { name: `Open: picture number ${PICTURES - 1}` }).waitFor()
  })
  console.log(`library of ${PICTURES} pictures: ${ms} ms`)
  await page.evaluate(() => {
    window.longest = 0
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration)
    }).observe({ type: 'longtask' })
  })
  await browser.startTracing(page, { categories: ['toplevel', 'blink.user_timing', '__metadata'] })
  const far = (limit) => [...document.querySelectorAll('.tile')].some((tile) => Number(tile.ariaLabel.match(/number (\d+)/)?.[1] ?? Infinity) < limit)
  // A busy machine brings fewer pages in as many steps.
  for (let step = 0; step < 60 || (step < 3000 && !(await page.evaluate(far, PICTURES - 600))); step++) {
    await page.mouse.wheel(0, 2500)
    await page.waitForTimeout(60)
  }
  // What a task takes of a processor says the same on a busy machine; how long it lasts does not.
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString())
  const thread = (event) => `${event.pid} ${event.tid}`
  const mains = new Set(traceEvents.filter((event) => event.args?.name === 'CrRendererMain').map(thread))
  const tasks = traceEvents.filter((event) => mains.has(thread(event)) && event.tdur !== undefined)
  console.log(`longest task of the processor while scrolling: ${Math.round(Math.max(0, ...tasks.map((task) => task.tdur)) / 1000)} ms of ${tasks.length} tasks`)
  await page.waitForFunction(far, PICTURES - 600)
  const { longest, drawn } = await page.evaluate(() => ({ longest: window.longest, drawn: document.querySelectorAll('.tile').length }))
  console.log(`longest task while scrolling: ${Math.round(longest)} ms; ${drawn} tiles drawn`)
  assert.ok(drawn < 1000, 'what is far away is not drawn')
  const search = await took(async () => {
    await page.evaluate(() => scrollTo(0, 0))
    await page.getByLabel('Search by words').fill('number 4242')
    await page.getByRole('button', { name: 'Open: picture number 4242' }).waitFor()
  })
  console.log(`one of ${PICTURES} pictures found by words: ${search} ms`)
})

report()
