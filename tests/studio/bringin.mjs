// Data of another program, brought in by its owner: looked through, taken in, and the same again without change.
import assert from 'node:assert/strict'
import { crc32, deflateRawSync } from 'node:zlib'
import { check, enter, look, open, report } from './browser.mjs'

const phone = await open(360, 740)
const desk = await open(1280)
const heading = (name, on) => on.getByRole('heading', { name, exact: true })
const button = (name, on) => on.getByRole('button', { name, exact: true })
/** A ZIP file. */
function zip(files) {
  const parts = [], list = []
  let at = 0
  for (const [name, text] of Object.entries(files)) {
    const bytes = Buffer.from(text), packed = deflateRawSync(bytes), path = Buffer.from(name)
    const about = Buffer.alloc(26)
    about.writeUInt16LE(20, 0)
    about.writeUInt16LE(0x800, 2)
    about.writeUInt16LE(8, 4)
    about.writeUInt32LE(crc32(bytes), 10)
    about.writeUInt32LE(packed.length, 14)
    about.writeUInt32LE(bytes.length, 18)
    about.writeUInt16LE(path.length, 22)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(20, 4)
    about.copy(entry, 6)
    entry.writeUInt32LE(at, 42)
    list.push(entry, path)
    const local = Buffer.concat([Buffer.from([0x50, 0x4b, 3, 4]), about, path, packed])
    parts.push(local)
    at += local.length
  }
  const central = Buffer.concat(list), end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(Object.keys(files).length, 8)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(central.length, 12)
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, central, end])
}
const card = (name) => JSON.stringify({ spec: 'chara_card_v2', spec_version: '2.0', data: { name, description: `${name} keeps a light.`, first_mes: 'Mind the step.' } })
const said = [
  { user_name: 'Ben', character_name: 'Oona', create_date: '2024-05-01@10h00m00s', chat_metadata: {} },
  { name: 'Oona', is_user: false, is_system: false, mes: 'Mind the step.' },
  { name: 'Ben', is_user: true, is_system: false, mes: 'Which step?' },
  { name: 'Oona', is_user: false, is_system: true, mes: 'The model never reads this.' },
  { name: 'Oona', is_user: false, is_system: false, mes: 'The one that is missing.' },
]
const chat = said.map((line) => JSON.stringify(line)).join('\n')
const choose = (page, name, files) => page.getByLabel('Choose a ZIP file').setInputFiles({ name, mimeType: 'application/zip', buffer: zip(files) })
const row = (page, name) => page.getByRole('row', { name: new RegExp(`^${name} `) })

await check('a folder is looked through before anything comes in', async () => {
  await enter(phone, 'ben@example.com', 'Hello, Ben')
  await enter(desk, 'ben@example.com', 'Hello, Ben')
  await desk.goto('/#/account')
  await desk.getByRole('link', { name: 'Bring in data of SillyTavern' }).click()
  await heading('Bring in data', desk).waitFor()
  await look(desk, 'bringin')
  await phone.goto('/#/bringin')
  await look(phone, 'bringin')
  await choose(phone, 'mine.zip', {
    'default-user/characters/Oona.json': card('Oona'), 'default-user/characters/Broken.json': '{', 'default-user/chats/Oona/one.jsonl': chat, 'default-user/secrets.json': '{}',
  })
  await heading('What would come in', phone).waitFor()
  await row(phone, 'Characters').getByRole('cell', { name: '1', exact: true }).waitFor()
  await phone.getByText('characters/Broken.json').waitFor()
  await look(phone, 'bringin-report')
})

await check('it comes in, and the same again changes nothing', async () => {
  await button('Bring it in', phone).click()
  await heading('What came in', phone).waitFor()
  await look(phone, 'bringin-done')
  await phone.getByRole('link', { name: 'To the characters' }).click()
  await phone.getByRole('link', { name: 'Oona', exact: true }).waitFor()
  await desk.reload()
  await heading('What came in', desk).waitFor()
  await button('Bring in another one', desk).click()
  await choose(desk, 'again.zip', { 'default-user/characters/Oona.json': card('Oona'), 'default-user/chats/Oona/one.jsonl': chat })
  await heading('What would come in', desk).waitFor()
  assert.deepEqual(await row(desk, 'Characters').getByRole('cell').allInnerTexts(), ['Characters', '0', '1'])
  await look(desk, 'bringin-again')
  await button('Discard it', desk).click()
  await button('Choose a ZIP file', desk).waitFor()
})

await check('hidden lines of a chat are marked', async () => {
  await phone.goto('/#/chats')
  await phone.getByRole('link', { name: /Oona/ }).first().click()
  const line = phone.locator('article', { hasText: 'The model never reads this.' })
  await line.getByText('Hidden', { exact: true }).waitFor()
  assert.equal(await phone.getByText('Hidden', { exact: true }).count(), 1)
  await look(phone, 'chat-hidden')
})

await check('of several folders one’s own is chosen', async () => {
  await desk.goto('/#/home')
  await desk.goto('/#/bringin')
  await choose(desk, 'several.zip', { 'data/ben/characters/Lea.json': card('Lea'), 'data/tom/characters/Tom.json': card('Tom') })
  await desk.getByText('This file has folders of several people.').waitFor()
  assert.equal(await button('Bring it in', desk).isDisabled(), true)
  await desk.getByLabel('Which of these folders is yours?').selectOption('ben')
  await row(desk, 'Characters').waitFor()
  await look(desk, 'bringin-several')
  await button('Bring it in', desk).click()
  await heading('What came in', desk).waitFor()
  await desk.goto('/#/characters')
  await desk.getByRole('link', { name: 'Lea', exact: true }).waitFor()
  assert.equal(await desk.getByRole('link', { name: 'Tom', exact: true }).count(), 0)
})

await check('what is no archive says so', async () => {
  await desk.goto('/#/bringin')
  await button('Bring in another one', desk).click()
  await desk.getByLabel('Choose a ZIP file').setInputFiles({ name: 'none.zip', mimeType: 'application/zip', buffer: Buffer.from('no archive') })
  await desk.getByText(/no ZIP archive/).waitFor()
  await look(desk, 'bringin-failed')
})

report()
