// An administrator has the store looked over, models tried, balances asked for, and keeps presets for prompts.
import assert from 'node:assert/strict'
import { ask, check, enter, look, open, report } from './browser.mjs'

const page = await open(1280)
const phone = await open(360, 740)
const guest = await open(360, 740)
const button = (name, on = page) => on.getByRole('button', { name, exact: true })
const tab = async (address, name) => {
  for (const on of [phone, page]) {
    await on.goto('/#/home')
    await on.goto(`/#/admin/${address}`)
    await on.getByRole('tab', { name, exact: true, selected: true }).waitFor()
  }
}

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

await check('another server is tried, and asked what is left', async () => {
  await tab('providers', 'Model servers')
  await button('Try it: Slow').click()
  await page.getByText(/^Answered after/).waitFor()
  await page.getByText('word 39', { exact: false }).waitFor()
  await page.getByText('This server says nothing of a balance.').waitFor()
  await button('Ask what is left: Test').click()
  await page.getByText('Asked.', { exact: true }).waitFor()
  await look(page, 'admin-providers-tried')
  await button('Try it: Slow', phone).waitFor()
  await look(phone, 'admin-providers-tried')
})

await check('a model of this machine is tried by a picture', async () => {
  await tab('models', 'Models')
  await button('Try it: starter').click()
  await page.getByText(/^Drawn after/).waitFor()
  await page.getByRole('img', { name: 'a red robot waving' }).waitFor()
  await look(page, 'admin-models-tried')
  await look(phone, 'admin-models-tried')
})

await check('a preset is made, changed, deleted and brought back', async () => {
  await tab('presets', 'Presets')
  await button('New preset').click()
  await page.getByLabel('Name', { exact: true }).fill('Ink')
  await page.getByLabel('Words count more or less').check()
  await page.getByLabel(/^Words and how much they count/).fill('lines')
  await button('Save').click()
  await page.getByText('“lines” is no word with a number behind a colon.').waitFor()
  await page.getByLabel(/^Words and how much they count/).fill('ink lines: 1.3\npaper: 0.8')
  await look(page, 'admin-preset')
  await button('Save').click()
  const list = page.getByRole('list', { name: 'Presets that make prompts richer' })
  await list.getByRole('button', { name: /^Ink/ }).click()
  assert.equal(await page.getByLabel(/^Words and how much they count/).inputValue(), 'ink lines: 1.3\npaper: 0.8')
  await page.getByLabel('How freely (temperature)').fill('0.4')
  await button('Save').click()
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  const stored = () => ask(page, '/rest/v1/enhancement_presets?preset_name=eq.Ink&select=compel_weights,qwen_settings', null, 'GET')
  assert.deepEqual((await stored()).body, [{ compel_weights: { 'ink lines': 1.3, paper: 0.8 }, qwen_settings: { temperature: 0.4 } }])
  await look(page, 'admin-presets')
  await button('Delete: Ink').click()
  await list.getByRole('button', { name: /^Ink/ }).waitFor({ state: 'detached' })
  await button('Undo').click()
  await list.getByRole('button', { name: /^Ink/ }).waitFor()
  await phone.goto('/#/home')
  await phone.goto('/#/admin/presets')
  await phone.getByRole('button', { name: /^Ink/ }).click()
  await phone.getByLabel('Name', { exact: true }).waitFor()
  await look(phone, 'admin-preset')
})

await check('the server refuses it to others', async () => {
  guest.forgiven.push(/status of 40[0-9]/)
  for (const action of ['begin', 'state']) assert.equal((await ask(guest, '/functions/v1/check-store', { action })).status, 403)
  assert.deepEqual((await ask(guest, '/rest/v1/api_provider_balances?select=id', null, 'GET')).body, [])
  const refused = await ask(guest, '/rest/v1/enhancement_presets', { preset_name: 'Mine' })
  assert.ok([401, 403].includes(refused.status), JSON.stringify(refused))
})

await report()
