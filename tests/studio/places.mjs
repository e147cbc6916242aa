// Places of scenes, and an episode in another style; after the journey of webtoon.mjs.
import assert from 'node:assert/strict'
import { check, enter, kept, look, open, report } from './browser.mjs'

/** Drawing on a busy machine takes its time. */
const DRAWN = { timeout: 900_000 }
const page = await open(1280)
const phone = await open(360, 740)
const button = (name, on = page) => on.getByRole('button', { name, exact: true })
const heading = (name, on = page) => on.getByRole('heading', { name, exact: true })
const tab = (name, on = page) => on.getByRole('navigation', { name: 'Parts of the story' }).getByRole('link', { name, exact: true })
const icon = new URL('../../studio/public/icon.png', import.meta.url).pathname

await check('a place is described, pictured, and given to a scene', async () => {
  await enter(page, 'ivy@example.com', 'Hello, Ivy')
  await page.goto('/#/webtoons')
  await page.getByRole('link', { name: /^The lamp on Gull Rock/ }).last().click()
  await page.getByText('Drawn', { exact: true }).first().waitFor()
  await tab('Places').click()
  await page.getByText('No places yet.').waitFor()
  await page.getByLabel(/^Add a place/).fill('A harbour at dusk, one red lamp.')
  await page.reload()
  assert.equal(await page.getByLabel(/^Add a place/).inputValue(), 'A harbour at dusk, one red lamp.', 'what is typed outlives a reload')
  await button('Add a place').click()
  const place = page.getByRole('list', { name: 'Places' }).locator('li')
  await place.getByText('in no scene').waitFor()
  await place.locator('input[type=file]').setInputFiles(icon)
  await place.getByRole('img', { name: /^Picture of A harbour/ }).waitFor()
  await tab('Scenes').click()
  await page.getByRole('list', { name: 'Scenes of this story' }).getByRole('link').first().click()
  await page.getByLabel('Where it is').selectOption({ label: 'A harbour at dusk, one red lamp.' })
  await page.getByText('The scene is set there now.').waitFor()
  await page.getByText('the place was changed', { exact: false }).first().waitFor()
  await look(page, 'webtoon-scene-place')
  await tab('Places').click()
  await place.getByText('in 1 scene').waitFor()
  assert.equal(await place.getByRole('button', { name: /^Delete this place/ }).isDisabled(), true, 'while it is in use')
  await look(page, 'webtoon-places')
  await enter(phone, 'ivy@example.com', 'Hello, Ivy')
  await phone.goto(page.url())
  await phone.getByRole('list', { name: 'Places' }).getByText('in 1 scene').waitFor()
  await look(phone, 'webtoon-places')
})

await check('an episode is drawn in another style', async () => {
  await tab('Episodes').click()
  await page.getByRole('link', { name: /Episode 1/ }).click()
  await heading('In another style').waitFor()
  await page.waitForFunction(() => document.querySelectorAll('form[aria-label="In another style"] option').length > 2)
  await page.getByRole('form', { name: 'In another style' }).getByLabel('Style').selectOption({ index: 2 })
  await look(page, 'webtoon-restyle')
  await kept(page, 'restyle', () => button('Draw 3 scenes in it').click())
  await page.getByText(/Now: /).waitFor()
  await page.getByText(/being drawn\.$/).waitFor({ state: 'detached', ...DRAWN })
  await tab('Scenes').click()
  // One scene has a picture that was approved before, which stays the one that is shown.
  await page.getByText(/^(Drawn|Approved)$/).nth(2).waitFor(DRAWN)
  await page.getByRole('list', { name: 'Scenes of this story' }).getByRole('link').nth(1).click()
  await page.getByRole('listitem', { name: 'Version 2', exact: true }).waitFor(DRAWN)
})

await report()
