// What administrators do beside their own work, on a desk and on a phone: backups, log, audit trail, settings, templates,
// tests of prompts, reports.
import assert from 'node:assert/strict'
import { ask, check, enter, look, open, report } from './browser.mjs'

const desk = await open(1280)
const phone = await open(360, 740)
const guest = await open(360, 740)
const heading = (page, name) => page.getByRole('heading', { name, exact: true })
const button = (page, name) => page.getByRole('button', { name, exact: true })
/** A tab of the admin screen on both windows, looked at. */
const tab = async (address, name, seen) => {
  for (const page of [phone, desk]) {
    await page.goto('/#/home')
    await page.goto(`/#/admin/${address}`)
    await page.getByRole('tab', { name, exact: true, selected: true }).waitFor()
    await seen(page)
    await look(page, `admin-${address}`)
  }
}

await check('an administrator and a guest are there', async () => {
  await enter(desk, 'ada@example.com', 'Hello, Ada')
  await enter(phone, 'ada@example.com', 'Hello, Ada')
  await enter(guest, 'ben@example.com', 'Hello, Ben')
})

await check('a backup is made, and it is said how one comes back', async () => {
  await tab('backups', 'Backups', (page) => heading(page, 'Bring one back').waitFor())
  const before = await desk.getByRole('tabpanel').locator('ul li code').count()
  await button(desk, 'Make a backup now').click()
  await desk.getByText(/^The backup playhouse-.* is written\.$/).waitFor()
  assert.equal(await desk.getByRole('tabpanel').locator('ul li code').count(), before + 1)
  await desk.getByText(/playhouse restore .*playhouse-/).waitFor()
  await desk.getByLabel(/^How many are kept/).fill('9')
  await desk.getByLabel(/^How many are kept/).press('Tab')
  await desk.getByText('Saved', { exact: true }).waitFor()
  await look(desk, 'admin-backups-made')
})

await check('settings say where they come from, and what was set is taken back', async () => {
  await tab('settings', 'Settings', (page) => page.getByLabel(/^Backups that are kept/).waitFor())
  assert.equal(await desk.getByLabel(/^Backups that are kept/).inputValue(), '9')
  await desk.getByLabel('Only what was set').check()
  await desk.getByText('environment: PLAYHOUSE_CHARGE_CREDITS').waitFor()
  await button(desk, 'As configured: Backups that are kept').click()
  await desk.getByText('configured: 7 · set here').waitFor({ state: 'detached' })
  assert.equal(await desk.getByLabel(/^Backups that are kept/).inputValue(), '7')
})

await check('the log is read by words and by request', async () => {
  await tab('log', 'Log', (page) => page.getByText('wrote a backup').first().waitFor())
  await desk.getByLabel('Search', { exact: true }).fill('functions/v1/backups')
  const request = desk.getByRole('list', { name: 'Lines of the log' }).locator('button').first()
  // What is clicked is what is read: other lines stand there until the search is answered, and new ones come.
  await desk.getByRole('list', { name: 'Lines of the log' }).locator('li').filter({ hasNotText: 'functions/v1/backups' }).first().waitFor({ state: 'detached' })
  const id = await request.evaluate((line) => {
    line.click()
    return line.innerText
  })
  await desk.waitForFunction((id) => document.querySelector('input[type=search]').value === id, id)
  await desk.getByText('/functions/v1/backups').first().waitFor()
  await desk.getByLabel('Search', { exact: true }).fill('no line has these words')
  await desk.getByText('No line of the log is like this.').waitFor()
})

await check('the audit trail says who changed what', async () => {
  await tab('trail', 'Audit trail', (page) => page.getByRole('list', { name: 'Entries' }).locator('li summary').first().waitFor())
  await desk.getByLabel('Table').fill('system_config')
  await desk.getByLabel('Account', { exact: true }).fill('ada')
  const entry = desk.getByRole('list', { name: 'Entries' }).locator('li').first()
  await entry.getByText('system_config').waitFor()
  await entry.locator('summary').click()
  await entry.getByRole('cell', { name: 'config', exact: true }).waitFor()
  await look(desk, 'admin-trail-entry')
  await desk.getByLabel('Account', { exact: true }).fill('no such name')
  await desk.getByText('No account has this in its name.').waitFor()
})

await check('a template is changed and tried', async () => {
  const { body } = await ask(desk, '/rest/v1/api_models?model_key=eq.slow', { tasks: ['roleplay', 'vision', 'enhancement', 'reasoning'], default_for_tasks: ['roleplay', 'enhancement', 'reasoning'] }, 'PATCH')
  assert.equal(body.length, 1)
  await tab('templates', 'Templates', (page) => page.getByRole('list', { name: 'Templates' }).locator('li').first().waitFor())
  await button(desk, 'New template').click()
  await desk.getByLabel('Name', { exact: true }).fill('Gulls')
  await desk.getByLabel('Used for').fill('general')
  await desk.getByLabel('Instructions for the model').fill('Answer as a gull.')
  await desk.getByLabel('A text for it').fill('Good morning')
  await button(desk, 'Try it out').click()
  await heading(desk, 'The answer').waitFor()
  await look(desk, 'admin-template')
  await button(desk, 'Save').click()
  await desk.getByLabel('Search templates').fill('gulls')
  await desk.getByRole('list', { name: 'Templates' }).getByRole('button', { name: /^Gulls/ }).click()
  await button(desk, 'Delete').click()
  await desk.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await desk.getByText('The template is deleted.').waitFor()
  await button(desk, 'Write the cache anew').click()
  await desk.getByText(/templates are in the cache\.$/).waitFor()
})

await check('a machine that draws is looked at before it is used', async () => {
  desk.forgiven.push(/status of 400.*update-worker-url/)
  await tab('workers', 'Workers', (page) => heading(page, 'Videos').waitFor())
  const videos = desk.locator('form', { hasText: 'Videos' })
  await videos.getByLabel('Address').fill('http://127.0.0.1:9/none')
  await videos.getByRole('button', { name: 'Use this one' }).click()
  await desk.getByText('Worker URL is not responding').waitFor()
  await videos.getByText('No machine of this kind.').waitFor()
})

await check('two configurations are tested against each other', async () => {
  await tab('tests', 'A/B tests', (page) => button(page, 'New test').waitFor())
  await button(desk, 'New test').click()
  await desk.getByLabel('Name', { exact: true }).fill('More steps')
  await desk.getByLabel('Steps').nth(1).fill('8')
  await look(desk, 'admin-test-new')
  await button(desk, 'Begin the test').click()
  await heading(desk, 'More steps').waitFor()
  await desk.getByText('steps: 8').waitFor()
  await look(desk, 'admin-tests')
  await button(desk, 'End the test').click()
  await desk.getByText('Ended', { exact: true }).waitFor()
})

await check('a guest reports a picture, and an administrator decides', async () => {
  // A character of Ada's own that everybody sees, with the picture that was drawn for it before.
  const found = await ask(desk, '/rest/v1/characters?select=id,name&image_url=not.is.null&limit=1', null, 'GET')
  const { id, name } = found.body[0]
  assert.equal((await ask(desk, `/rest/v1/characters?id=eq.${id}`, { is_public: true }, 'PATCH')).status, 200)
  await guest.goto(`/#/character/${id}`)
  await heading(guest, name).waitFor()
  await button(guest, 'Report this picture').click()
  await guest.getByLabel('What is wrong with it').fill('Not what it says.')
  await look(guest, 'report')
  await button(guest, 'Report').click()
  await guest.getByText('Reported. An administrator looks at it.').waitFor()
  await tab('moderation', 'Moderation', (page) => page.getByText('Not what it says.').waitFor())
  await desk.getByLabel(/^Note/).fill('Fine.')
  await button(desk, 'May be shown').click()
  await desk.getByText('No picture waits.').waitFor()
  await desk.getByLabel('Approved').check()
  await desk.getByText(/^decided .*: Fine\.$/).waitFor()
  assert.equal((await ask(desk, `/rest/v1/characters?id=eq.${id}`, { is_public: false }, 'PATCH')).status, 200)
})

await check('the server refuses all of it to others', async () => {
  guest.forgiven.push(/status of 40[0-9]/)
  for (const [name, body] of [['backups', { action: 'list' }], ['backups', { action: 'make' }], ['server-log', {}], ['server-settings', {}], ['moderation-queue', {}], ['try-template', { system_prompt: 'x', text: 'x' }], ['refresh-prompt-cache', {}]]) {
    assert.equal((await ask(guest, `/functions/v1/${name}`, body)).status, 403, name)
  }
  for (const table of ['prompt_templates', 'negative_prompts', 'prompt_ab_tests']) {
    assert.deepEqual((await ask(guest, `/rest/v1/${table}?select=id`, null, 'GET')).body, [], table)
  }
  const { body } = await ask(guest, '/rest/v1/audit_logs?select=user_id', null, 'GET')
  assert.equal(new Set(body.map((one) => one.user_id)).size <= 1, true, 'a guest reads entries of their own alone')
  await guest.goto('/#/admin/log')
  await heading(guest, 'Hello, Ben').waitFor()
})

report()
