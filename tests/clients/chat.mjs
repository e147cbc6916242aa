// Runs the official JavaScript client's streamed and whole function calls against a live server with a chat model.
import { assert, check, client, data, environment, newUser, report } from './checks.mjs'

const at = environment()
const alice = await newUser(at, 'alice')
const own = alice.client
const row = (answer) => data(answer.select().single())

const mira = await row(own.from('characters').insert({ user_id: alice.id, name: 'Mira', description: 'A lighthouse keeper.', is_public: false }))
const chat = await row(own.from('conversations').insert({ user_id: alice.id, title: 'Light', character_id: mira.id }))
const turn = (message, more = {}) => ({
  conversation_id: chat.id, character_id: mira.id, message, memory_tier: 'conversation', content_tier: 'sfw', ...more,
})
const say = (content) => data(own.from('messages').insert({ conversation_id: chat.id, sender: 'user', content }))

/** The events of a streamed answer. */
async function events(response) {
  const found = []
  let rest = ''
  for await (const bytes of response.body) {
    rest += new TextDecoder().decode(bytes)
    const blocks = rest.split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) {
      const name = block.match(/^event: (.*)$/m)?.[1]
      if (name) found.push({ name, data: JSON.parse(block.match(/^data: (.*)$/m)[1]) })
    }
  }
  return found
}

await check('a roleplay is streamed', async () => {
  await say('Is the light on?')
  const headers = { Accept: 'text/event-stream' }
  const answer = await data(own.functions.invoke('roleplay-chat', { body: turn('Is the light on?'), headers }))
  const all = await events(answer)
  assert.equal(all[0].name, 'start')
  const words = all.filter((event) => event.name === 'delta').map((event) => event.data.text)
  assert.ok(words.length > 3, `${words.length} pieces`)
  const { name, data: done } = all.at(-1)
  assert.equal(name, 'done')
  assert.equal(done.success, true)
  assert.equal(done.response, words.join('').trim())
  const stored = await data(own.from('messages').select('sender,content,message_type').eq('id', done.message_id).single())
  assert.deepEqual(stored, { sender: 'assistant', content: done.response, message_type: 'roleplay_chat' })
})
await check('a roleplay is answered whole', async () => {
  await say('And now?')
  const answer = await data(own.functions.invoke('roleplay-chat', { body: turn('And now?') }))
  assert.equal(answer.success, true)
  assert.equal(answer.model_used, 'test:slow')
  assert.equal(answer.usedFallback, false)
  assert.match(answer.response, /^word 0/)
})
await check('a stranger gets nothing', async () => {
  const bob = await newUser(at, 'bob')
  const { error } = await bob.client.functions.invoke('roleplay-chat', { body: turn('Hello') })
  assert.equal(error.context.status, 404)
})
await check('an embed counts the messages', async () => {
  const found = await data(own.from('conversations').select('id, messages(count)').eq('id', chat.id).single())
  assert.equal(found.messages[0].count, 4)
})
await check('a refusal says so', async () => {
  const { error } = await own.functions.invoke('playground-chat', { body: turn('An erotic story', { content_tier: 'nsfw' }) })
  assert.equal(error.context.status, 422)
  assert.equal((await error.context.json()).code, 'CONTENT_REFUSED')
})
report()
