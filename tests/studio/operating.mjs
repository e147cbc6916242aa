// An administrator has the store looked over.
import assert from 'node:assert/strict'
import { ask, check, enter, look, open, report } from './browser.mjs'

const page = await open(1280)
const phone = await open(360, 740)
const guest = await open(360, 740)

await check('the store is looked over', async () => {
  await enter(page, 'ada@example.com', 'Hello, Ada')
  await enter(phone, 'ada@example.com', 'Hello, Ada')
  await enter(guest, 'ben@example.com', 'Hello, Ben')
  await page.goto('/#/admin')
  const card = page.getByRole('region', { name: 'Look the store over' })
  await card.getByRole('button', { name: 'Begin the check' }).click()
  await card.getByText(/^The store is whole: [\d,.\s]+ rows/).waitFor()
  await look(page, 'admin-check')
  await phone.goto('/#/admin')
  await phone.getByText(/^The store is whole: /).waitFor()
  await look(phone, 'admin-check')
})

await check('the server refuses it to others', async () => {
  guest.forgiven.push(/status of 40[0-9]/)
  for (const action of ['begin', 'state']) assert.equal((await ask(guest, '/functions/v1/check-store', { action })).status, 403)
})

await report()
