// A character's LoRA from choosing pictures to its looks, tags in the gallery, how freely a chat answers, and previews of jobs.
import assert from 'node:assert/strict'
import { ask, check, enter, kept, look, open, pngWith, report } from './browser.mjs'

const page = await open(1280)
const phone = await open(360, 740)
const button = (name, on = page) => on.getByRole('button', { name, exact: true })
const heading = (name, on = page) => on.getByRole('heading', { name, exact: true })
const SLOW = { timeout: 900_000 }

const files = [40, 80, 120, 160, 200].map((grey) => ({ name: `${grey}.png`, mimeType: 'image/png', buffer: pngWith('Title', `grey ${grey}`, 64, grey) }))
let tock = ''

await check('characters are found by their tags', async () => {
  await enter(page, 'ada@example.com', 'Hello, Ada')
  tock = (await ask(page, '/rest/v1/characters?select=id&name=eq.Tock', null, 'GET')).body[0].id
  assert.equal((await ask(page, `/rest/v1/characters?id=eq.${tock}`, { appearance_tags: ['brass robot', 'top hat'] }, 'PATCH')).status, 200)
  await page.goto('/#/characters')
  const all = page.locator('ul.grid > li')
  await all.nth(1).waitFor()
  await page.getByLabel('With the tag').selectOption('brass robot')
  await page.waitForFunction(() => document.querySelectorAll('ul.grid > li').length === 1)
  await page.getByRole('link', { name: 'Tock', exact: true }).waitFor()
  await look(page, 'characters-tags')
  await page.getByLabel('With the tag').selectOption('')
  await all.nth(1).waitFor()
})

await check('a LoRA is trained on chosen pictures, with samples on the way', async () => {
  await page.goto(`/#/character/${tock}`)
  await page.getByRole('tab', { name: 'Looks' }).click()
  await page.getByText('Nothing learned yet.').waitFor()
  await button('Train on pictures').click()
  await page.getByText('Choose at least 5.').waitFor()
  assert.ok(await button('Begin the training').isDisabled())
  await page.getByLabel('Add pictures of mine').setInputFiles(files)
  await page.getByText('5 pictures chosen').waitFor()
  await page.getByLabel('What is to be seen in picture 1', { exact: true }).fill('by a window')
  await page.getByLabel('Steps', { exact: false }).first().fill('4')
  await page.getByLabel('Pictures a step').fill('1')
  await look(page, 'character-train')
  await kept(page, 'train-lora', () => button('Begin the training').click())
  const progress = page.getByRole('progressbar', { name: 'How far the training is' })
  await progress.waitFor()
  await look(page, 'character-training')
  await page.getByText('The training is done: pictures are drawn with it.').waitFor(SLOW)
  await page.getByText('prompts say “tock”').waitFor()
  await page.getByRole('img', { name: 'Sample of tock' }).waitFor()
  assert.ok(await page.getByLabel('Draw with it').isChecked())
  await kept(page, 'character_loras', () => page.getByLabel('Draw with it').uncheck())
  await look(page, 'character-trained')
  const { body: [lora] } = await ask(page, `/rest/v1/character_loras?select=is_default,settings&character_id=eq.${tock}`, null, 'GET')
  assert.equal(lora.is_default, false)
  assert.equal(lora.settings.steps, 4)
  await enter(phone, 'ada@example.com', 'Hello, Ada')
  await phone.goto(`/#/character/${tock}`)
  await phone.getByRole('tab', { name: 'Looks' }).click()
  await phone.getByText('prompts say “tock”').waitFor()
  await look(phone, 'character-trained')
  await button('Train on pictures', phone).click()
  await phone.getByText('Choose at least 5.').waitFor()
  await look(phone, 'character-train')
})

await check('a training is stopped, and a LoRA deleted', async () => {
  await button('Train on pictures').click()
  await page.getByLabel('Add pictures of mine').setInputFiles(files)
  await page.getByText('5 pictures chosen').waitFor()
  await page.getByLabel('Steps', { exact: false }).first().fill('5000')
  await button('Begin the training').click()
  await button('Stop the training').click()
  await page.getByText('The training is stopped; what it cost is back.').waitFor()
  await button('Train on pictures').waitFor(SLOW)
  await button('Delete tock').click()
  await page.getByText('tock is deleted.').waitFor()
  await page.getByText('Nothing learned yet.').waitFor()
})

await check('a chat answers as freely as it is told', async () => {
  await page.goto(`/#/chats/new/${tock}`)
  await page.locator('article').first().waitFor()
  await button('Chat settings').click()
  await page.getByLabel('How freely it answers').fill('1.4')
  await page.getByLabel('How freely it answers').press('Tab')
  await page.keyboard.press('Escape')
  const composer = page.getByRole('textbox', { name: /^Say something/ })
  await composer.fill('What time is it?')
  await composer.press('Enter')
  await page.getByText('heard What time is it?').waitFor(SLOW)
  const { body: [message] } = await ask(page, '/rest/v1/messages?select=id&sender=eq.assistant&order=created_at.desc&limit=1', null, 'GET')
  const reply = await ask(page, '/functions/v1/inspect-reply', { message_id: message.id })
  assert.ok(Math.abs(reply.body.prompt.sampling.temperature - 1.4) < 1e-6, JSON.stringify(reply.body.prompt.sampling))
})

await check('jobs show what came of them', async () => {
  const queued = await ask(page, '/functions/v1/queue-job', { job_type: 'sdxl_image_fast', prompt: 'a silver bell', steps: 2, metadata: { skip_enhancement: true } })
  assert.equal(queued.status, 200, JSON.stringify(queued.body))
  for (const on of [page, phone]) {
    await on.goto('/#/jobs')
    await heading('Jobs', on).waitFor()
    await on.getByRole('img', { name: 'a silver bell' }).waitFor(SLOW)
    await look(on, 'jobs')
  }
})

await report()
