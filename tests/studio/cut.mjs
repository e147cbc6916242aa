// The server is killed in mid-reply and in mid-drawing and comes back: the page says so, shows what was kept or draws
// it, and loses no draft.
import assert from 'node:assert/strict'
import { check, look, LOST, open, report } from './browser.mjs'

const page = await open(1280)
page.forgiven.push(LOST)

await check('the server may die in mid-reply', async () => {
  await page.goto('/')
  await page.getByLabel('Mail address').fill('ada@example.com')
  await page.getByLabel('Password', { exact: true }).fill('correct horse')
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('heading', { name: 'Hello, Ada' }).waitFor()
  await page.goto('/#/chats')
  await page.getByRole('link', { name: /The storm/ }).click()
  const composer = page.getByRole('textbox', { name: /^Say something/ })
  await composer.fill('Do you hear that? Answer slowly.')
  await composer.press('Enter')
  await page.locator('.coming').getByText('word 5').waitFor()
  await composer.fill('a thought that must not be lost')
  console.log('CUT')
  await page.getByText(/The server does not answer/).first().waitFor()
  await look(page, 'away')
  console.log('AWAY')
  await page.getByText(/The server does not answer/).first().waitFor({ state: 'detached' })
  await page.getByText('Do you hear that? Answer slowly.').waitFor()
  await page.getByText('This reply was cut off. What was said is kept.').waitFor()
  assert.equal(await composer.inputValue(), 'a thought that must not be lost')
  assert.ok((await page.locator('article').last().innerText()).includes('word 1'))
  await look(page, 'back')
})

await check('the server may die in mid-drawing', async () => {
  await page.goto('/#/draw')
  await page.getByRole('heading', { name: 'Draw', exact: true }).waitFor()
  await page.getByLabel('What the picture shows').fill('a green robot at night')
  await page.getByLabel('Steps', { exact: true }).fill('200')
  await page.getByRole('button', { name: 'Draw', exact: true }).click()
  await page.locator('.running').getByText(/^Step \d+ of 200/).waitFor()
  console.log('CUT')
  await page.getByText(/The server does not answer/).first().waitFor()
  await page.getByLabel('What the picture shows').fill('a plan that must not be lost')
  console.log('AWAY')
  await page.getByText(/The server does not answer/).first().waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Open: a green robot at night' }).waitFor()
  assert.equal(await page.getByLabel('What the picture shows').inputValue(), 'a plan that must not be lost')
  await look(page, 'drawn-after-all')
})

report()
