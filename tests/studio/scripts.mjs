// From a chapter to an active script, on a desk and on a phone: written by a model, judged, approved, changed, compared.
import assert from 'node:assert/strict'
import { ask, check, enter, look, open, report } from './browser.mjs'

const desk = await open(1280)
const phone = await open(360, 740)
const guest = await open(1280)
const heading = (page, name) => page.getByRole('heading', { name, exact: true })
const button = (page, name) => page.getByRole('button', { name, exact: true })
/** The same address on the phone, looked at. */
const onPhone = async (name, seen) => {
  await phone.goto(desk.url())
  await seen(phone)
  await look(phone, name)
}

await check('scripts are found from a phone too', async () => {
  await enter(desk, 'ada@example.com', 'Hello, Ada')
  await enter(phone, 'ada@example.com', 'Hello, Ada')
  await enter(guest, 'ben@example.com', 'Hello, Ben')
  await ask(desk, '/rest/v1/api_models?model_key=eq.slow', { tasks: ['roleplay', 'vision', 'enhancement', 'reasoning'], default_for_tasks: ['roleplay', 'enhancement', 'reasoning'] }, 'PATCH')
  await button(phone, 'More screens').click()
  await look(phone, 'more-screens')
  await phone.getByRole('dialog').getByRole('link', { name: 'Scripts' }).click()
  await heading(phone, 'No books yet').waitFor()
  await look(phone, 'scripts-empty')
})

await check('a chapter becomes a script, which is judged', async () => {
  await desk.goto('/#/scripts')
  await heading(desk, 'No books yet').waitFor()
  await look(desk, 'scripts-empty')
  await button(desk, 'New book').first().click()
  await desk.getByLabel('Title', { exact: true }).fill('Tides')
  await button(desk, 'Make the book').click()
  await heading(desk, 'Tides').waitFor()
  await button(desk, 'Add a chapter').click()
  await desk.getByLabel('Title of the chapter').fill('One')
  await desk.getByLabel('What happens, word by word').fill('Mira keeps the light. The storm comes early, and someone climbs the stairs.')
  // What was typed outlives a reload.
  await desk.reload()
  await button(desk, 'Add a chapter').click()
  assert.equal(await desk.getByLabel('Title of the chapter').inputValue(), 'One')
  await button(desk, 'Add the chapter').click()
  await heading(desk, 'One').waitFor()
  await look(desk, 'scripts-chapter')
  await onPhone('scripts-chapter', (page) => heading(page, 'One').waitFor())
  await button(desk, 'Write it').click()
  await heading(desk, 'Cinematic 001').waitFor()
  await heading(desk, '78 of 100').waitFor()
  for (const mark of ['Coherence', 'Storytelling', 'Characters', 'For a film']) await desk.getByRole('progressbar', { name: mark }).waitFor()
  await desk.getByText('Give the second scene more to see.', { exact: false }).waitFor()
  assert.match(await desk.getByLabel(/^The script/).inputValue(), /^SCENE 1: A lighthouse at night/)
  await look(desk, 'script')
  await onPhone('script', (page) => heading(page, 'Cinematic 001').waitFor())
})

await check('only what is allowed can be done, and a change makes a new version', async () => {
  assert.equal(await button(desk, 'Make it the active one').count(), 0, 'not before it is approved')
  await button(desk, 'Approve').click()
  await button(desk, 'Make it the active one').click()
  await button(desk, 'No longer active').waitFor()
  assert.equal(await button(desk, 'Have it judged again').count(), 0)
  const text = desk.getByLabel(/^The script/)
  await text.fill((await text.inputValue()).replace('Come up.', 'Come up, quickly.'))
  await button(desk, 'Save as a new version').click()
  await heading(desk, 'Cinematic 002').waitFor()
  await desk.getByText('Not judged yet.').waitFor()
  assert.equal(await button(desk, 'Approve').count(), 0, 'a draft is judged first')
  await desk.getByText('What differs').click()
  await desk.getByText('1 line came, 1 line went').waitFor()
  await desk.locator('li.added').getByText('MIRA: Come up, quickly.').waitFor()
  await look(desk, 'script-differences')
  await onPhone('script-differences', async (page) => {
    await heading(page, 'Cinematic 002').waitFor()
    await page.getByText('What differs').click()
    await page.getByText('1 line came, 1 line went').waitFor()
  })
})

await check('another one becomes active in its place', async () => {
  await button(desk, 'Have it judged').click()
  await heading(desk, '78 of 100').waitFor()
  await button(desk, 'Approve').click()
  await button(desk, 'Make it the active one').click()
  await desk.getByText('The one that was active before is approved now.', { exact: false }).waitFor()
  await desk.getByRole('link', { name: 'Back to the chapter' }).click()
  await desk.locator('li', { hasText: 'Cinematic 001' }).getByText('Approved').waitFor()
  await desk.locator('li', { hasText: 'Cinematic 002' }).getByText('Active').waitFor()
  await look(desk, 'scripts-versions')
  await desk.locator('li', { hasText: 'Cinematic 002' }).getByRole('link').click()
  await button(desk, 'Delete').click()
  await desk.getByText('It is the active one.', { exact: false }).waitFor()
  await desk.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
  await desk.locator('li', { hasText: 'Cinematic 001' }).waitFor()
  assert.equal(await desk.locator('li', { hasText: 'Cinematic 002' }).count(), 0)
})

await check('no other account sees or changes them', async () => {
  guest.forgiven.push(/status of 40[0-9]/)
  const script = (await ask(desk, '/rest/v1/scripts?select=id,chapter_id&limit=1', null, 'GET')).body[0]
  const place = desk.url().split('#')[1]
  await guest.goto(`/#${place}`)
  await guest.getByText('This book is not here.').waitFor()
  await guest.goto(`/#${place}/${script.id}`)
  await guest.getByText('This script is not here.').waitFor()
  await look(guest, 'script-guest')
  for (const [name, body] of [['script-transition', { script_id: script.id, status: 'rejected' }], ['evaluate-script', { script_id: script.id }], ['list-scripts', { chapter_id: script.chapter_id }], ['delete-script', { script_id: script.id, force: true }]]) {
    assert.equal((await ask(guest, `/functions/v1/${name}`, body)).status, 404, name)
  }
})

report()
