// What is kept, found again, put in order and taken along: search, tags, the bin, invitations, one's data.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { check, kept, look, open, pngWith, report } from './browser.mjs'

const page = await open(1280)
const button = (name, exact = true) => page.getByRole('button', { name, exact })
const heading = (name) => page.getByRole('heading', { name, exact: true })
const to = async (path, name) => {
  await page.goto(`/#/${path}`)
  await heading(name).waitFor()
}
const signIn = async (on, email, password = 'correct horse') => {
  await on.getByLabel('Mail address').fill(email)
  await on.getByLabel('Password', { exact: true }).fill(password)
  await on.getByRole('button', { name: 'Sign in', exact: true }).click()
}

await check('what was said is found by words, and the chat opens there', async () => {
  await page.goto('/')
  await signIn(page, 'ada@example.com')
  await heading('Hello, Ada').waitFor()
  await to('chats', 'Chats')
  await page.getByLabel('Search chats').fill('greetings climbing stair')
  await page.getByText('No chat has these words.').waitFor()
  await page.getByLabel('Search chats').fill('storms')
  await heading('In what was said').waitFor()
  const hit = page.getByRole('link', { name: /The storm is early this year/ }).first()
  await hit.waitFor()
  await look(page, 'chats-search')
  await hit.click()
  await page.locator('.found').getByText('The storm is early this year.').waitFor()
  await look(page, 'chat-found')
})

await check('a picture is tagged, deleted, and taken back out of the bin', async () => {
  await to('library', 'Library')
  await page.getByRole('button', { name: 'Open: Beep' }).click()
  await page.getByLabel(/^Tags/).fill('robots, forest')
  await kept(page, 'user_library', () => page.getByLabel(/^Tags/).press('Tab'))
  await page.keyboard.press('Escape')
  await page.reload()
  await page.getByLabel('Tag', { exact: true }).selectOption('forest')
  const beep = page.getByRole('button', { name: 'Open: Beep' })
  await page.waitForFunction(() => document.querySelectorAll('.tile').length === 1)
  await beep.waitFor()
  await look(page, 'library-tags')
  await beep.click()
  await button('Delete').click()
  await page.getByText('In the bin now.').waitFor()
  await button('Undo').click()
  await beep.waitFor()
  await button('Choose several').click()
  await page.getByRole('button', { name: 'Choose Beep' }).click()
  await button('Delete').click()
  await page.getByText('In the bin now.').waitFor()
  await page.getByRole('tab', { name: 'Bin' }).click()
  await beep.waitFor()
  await look(page, 'library-bin')
  await beep.click()
  await button('Put back').click()
  await page.getByText('Back in the library.').first().waitFor()
  await page.getByText('The bin is empty').first().waitFor()
  await page.getByRole('tab', { name: 'Kept', exact: true }).click()
  await beep.waitFor()
})

await check('the settings of a picture are taken over, and what is not is named', async () => {
  await to('draw', 'Draw')
  const text = 'a (tall:1.2) lighthouse <lora:nowhere:0.5>\nNegative prompt: people\nSteps: 7, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5.5, Seed: 42, Size: 512x768, Model: elsewhere, Clip skip: 2, Hires upscale: 2'
  const file = { name: 'theirs.png', mimeType: 'image/png', buffer: pngWith('parameters', text) }
  await page.getByLabel('Take settings from a picture').setInputFiles(file)
  const taken = page.getByRole('region', { name: 'From theirs.png (A1111)' })
  await taken.waitFor()
  const left = await taken.locator('dl').innerText()
  for (const one of ['elsewhere', 'nowhere']) assert.ok(left.includes(one), left)
  const value = (role, name) => page.getByRole(role, { name, exact: true }).inputValue()
  assert.equal(await page.getByLabel('What the picture shows').inputValue(), 'a (tall:1.2) lighthouse')
  assert.deepEqual(
    [
      await value('spinbutton', 'Steps'), await value('spinbutton', 'Guidance'), await value('spinbutton', 'Seed'), await value('combobox', 'Size'),
      await value('combobox', 'Scheduler'), await value('textbox', 'What it must not show'), await value('spinbutton', 'Clip skip'), await value('combobox', 'Second pass'),
    ],
    ['7', '5.5', '42', '512x768', 'DPM++ 2M Karras', 'people', '1', '2'],
  )
  await look(page, 'draw-taken')
  page.forgiven.push(/status of 400 .*png-info/)
  await page.getByLabel('Take settings from a picture').setInputFiles({ ...file, buffer: Buffer.from('GIF89a') })
  await page.getByText('This file says nothing of how it was drawn.').waitFor()
  await taken.waitFor({ state: 'detached' })
})

await check('an administrator fetches a model, looks at it, and takes it away', async () => {
  const model = readFileSync(new URL('../fixtures/goldens/lora/kohya.safetensors', import.meta.url))
  const server = createServer((request, response) => response.end(request.url.endsWith('.gguf') ? 'no model' : model))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const from = `http://127.0.0.1:${server.address().port}`
  await to('admin', 'Admin')
  await heading('What the server does').waitFor()
  await page.getByRole('img', { name: /^Memory of the server: [\d.]+ MB/ }).waitFor()
  await page.getByRole('img', { name: /^Requests: [\d.]+ \/ s/ }).waitFor()
  await look(page, 'admin-charts')
  await page.getByRole('tab', { name: 'Models', exact: true }).click()
  await page.getByLabel('Address of the file').fill(`${from}/ink.safetensors`)
  await button('Fetch it').click()
  await page.getByText(/^Added, /).waitFor()
  await page.getByRole('button', { name: 'Delete ink' }).waitFor()
  await page.getByLabel('Address of the file').fill(`${from}/broken.gguf`)
  await button('Fetch it').click()
  await page.locator('.fetch .bad').waitFor()
  await page.getByText('The server’s choice').first().waitFor()
  await look(page, 'admin-models-fetched')
  await button('Delete ink').click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete', exact: true }).click()
  await page.getByText('ink is deleted.').waitFor()
  server.close()
})

await check('everything of one’s own comes along as a file', async () => {
  await to('account', 'Account')
  const coming = page.waitForEvent('download')
  await button('Download my data').click()
  const stream = await (await coming).createReadStream()
  const pieces = []
  for await (const piece of stream) pieces.push(piece)
  const bytes = Buffer.concat(pieces)
  assert.equal(bytes.subarray(0, 2).toString(), 'PK')
  assert.ok(bytes.includes('tables/messages.json'))
})

const guest = await open(360, 740)
let link = ''
await check('the administrator closes the door and lets one in', async () => {
  await to('admin', 'Admin')
  await page.getByRole('tab', { name: 'Sign-up' }).click()
  await page.getByLabel('By invitation').check()
  await page.getByText('Saved').first().waitFor()
  await page.getByLabel('For whom').fill('Cy')
  await button('Make a link').click()
  link = await page.getByLabel(/^Link/).inputValue()
  await look(page, 'admin-sign-up')
  await guest.goto('/')
  await guest.getByRole('heading', { name: 'Sign in' }).waitFor()
  assert.equal(await guest.getByRole('button', { name: 'New here? Make an account' }).count(), 0)
  await guest.goto(link.slice(link.indexOf('/#')))
  await guest.reload()
  await guest.getByText('You are invited: make your account here.').waitFor()
  await look(guest, 'invited')
  await guest.getByLabel('Name that others see').fill('Cy')
  await guest.getByLabel('Mail address').fill('cy@example.com')
  await guest.getByLabel('Password', { exact: true }).fill('correct horse')
  await guest.getByRole('button', { name: 'Make an account', exact: true }).click()
  await guest.getByRole('heading', { name: 'Hello, Cy' }).waitFor()
  await page.getByRole('tab', { name: 'Overview' }).click()
  await page.getByText('All is well').waitFor()
  await page.getByRole('tab', { name: 'Sign-up' }).click()
  await page.getByText(/^used/).waitFor()
  await kept(page, 'server-settings', () => page.getByLabel('Open to everybody who reaches this server').check())
})

await check('two accounts at once see nothing of each other', async () => {
  for (const [path, empty] of [['storyboards', 'No storyboards yet'], ['library', 'Nothing kept yet'], ['chats', 'No chats yet']]) {
    await guest.goto(`/#/${path}`)
    await guest.getByText(empty).first().waitFor()
    await look(guest, `${path}-guest`)
  }
  await guest.goto('/#/library')
  await guest.getByRole('tab', { name: 'Bin' }).click()
  await guest.getByText('The bin is empty').first().waitFor()
  guest.forgiven.push(/status of 403/)
  const refused = await guest.evaluate(async () => {
    const session = JSON.parse(localStorage.getItem('playhouse.session'))
    const { anon_key } = await (await fetch('/studio/config.json')).json()
    const headers = { apikey: anon_key, Authorization: `Bearer ${session.access_token}`, 'Content-Type': 'application/json' }
    const call = (name) => fetch(`/functions/v1/${name}`, { method: 'POST', headers, body: '{}' }).then((answer) => answer.status)
    return Promise.all(['server-settings', 'list-invitations', 'create-invitation'].map(call))
  })
  assert.deepEqual(refused, [403, 403, 403])
})

report()
