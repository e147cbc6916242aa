// A second person, on a phone: sees nothing of the first, brings a card, talks, draws, keeps.
import assert from 'node:assert/strict'
import { check, look, open, report } from './browser.mjs'

const page = await open(360, 740)
const button = (name) => page.getByRole('button', { name, exact: true })
const heading = (name) => page.getByRole('heading', { name, exact: true })
const composer = page.getByRole('textbox', { name: /^Say something/ })
const to = async (path, name) => {
  await page.goto(`/#/${path}`)
  await heading(name).waitFor()
}

await check('somebody else makes an account', async () => {
  await page.goto('/')
  await button('New here? Make an account').click()
  await look(page, 'sign-up')
  await page.getByLabel('Name that others see').fill('Ben')
  await page.getByLabel('Mail address').fill('ben@example.com')
  await page.getByLabel('Password', { exact: true }).fill('correct horse')
  await button('Make an account').click()
  await heading('Hello, Ben').waitFor()
  await look(page, 'home-empty')
})

await check('nothing of the first account is to be seen', async () => {
  assert.equal(await page.getByRole('link', { name: 'Admin' }).count(), 0)
  await page.goto('/#/admin')
  await heading('Hello, Ben').waitFor()
  for (const [path, name] of [['characters', 'No characters yet'], ['library', 'Nothing kept yet'], ['jobs', 'Nothing to do']]) {
    await to(path, name)
    await look(page, `${path}-empty`)
  }
  const refused = await page.evaluate(async () => {
    const session = JSON.parse(localStorage.getItem('playhouse.session'))
    const { anon_key } = await (await fetch('/studio/config.json')).json()
    const headers = { apikey: anon_key, Authorization: `Bearer ${session.access_token}`, 'Content-Type': 'application/json' }
    const rows = await (await fetch('/rest/v1/characters?select=name', { headers })).json()
    const roles = await (await fetch('/rest/v1/user_roles?select=role', { headers })).json()
    return { rows, roles }
  })
  assert.deepEqual(refused, { rows: [], roles: [{ role: 'basic_user' }] })
})

await check('cards come in, and a broken one says why', async () => {
  await to('characters', 'Characters')
  page.forgiven.push(/status of 400/)
  const card = { spec: 'chara_card_v2', spec_version: '2.0', data: { name: 'Tavi', description: 'Tavi repairs clocks.', first_mes: 'Mind the springs!', alternate_greetings: [] } }
  await page.locator('input[type=file]').setInputFiles([
    { name: 'tavi.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(card)) },
    { name: 'broken.json', mimeType: 'application/json', buffer: Buffer.from('{"spec": 3}') },
  ])
  await page.getByRole('dialog', { name: 'Import report' }).waitFor()
  await page.getByText('broken.json').waitFor()
  await look(page, 'import-report')
  await page.keyboard.press('Escape')
  await page.getByRole('link', { name: 'Tavi', exact: true }).click()
  await heading('Tavi').waitFor()
  await look(page, 'character')
})

await check('a chat is had with one hand', async () => {
  await page.getByRole('link', { name: 'Talk', exact: true }).click()
  await page.getByText('Mind the springs!').waitFor()
  await composer.fill('What time is it? Answer slowly.')
  await button('Send').click()
  await page.locator('.coming').getByText('word 1').waitFor()
  await look(page, 'chat-streaming')
  await button('Stop').click()
  await button('Send').waitFor()
  await look(page, 'chat')
  await page.getByRole('link', { name: 'Chats', exact: true }).first().click()
  await heading('Chats').waitFor()
  await look(page, 'chats')
})

await check('a picture is drawn and kept', async () => {
  await to('draw', 'Draw')
  await page.getByLabel('What the picture shows').fill('a blue cat on a beach')
  await button('Draw').click()
  const result = page.getByRole('button', { name: 'Open: a blue cat on a beach' })
  await result.waitFor()
  await look(page, 'draw')
  await result.click()
  await look(page, 'picture')
  await button('Keep').click()
  await page.getByText('Kept in the library.').first().waitFor()
  await page.keyboard.press('Escape')
  await to('library', 'Library')
  await result.waitFor()
  await look(page, 'library')
})

await check('the other screens fit', async () => {
  for (const [path, name] of [['home', 'Hello, Ben'], ['jobs', 'Jobs'], ['account', 'Account'], ['characters', 'Characters']]) {
    await to(path, name)
    await look(page, path)
  }
})

report()
