// Talks with a character; the reply is streamed: node roleplay.mjs "Is the light on?"
import { data, events, newAccount } from './account.mjs'

const [message = 'Is the light on?'] = process.argv.slice(2)
const { playhouse, user } = await newAccount()
const insert = (table, row) => data(playhouse.from(table).insert({ user_id: user.id, ...row }).select().single())

const mira = await insert('characters', {
  name: 'Mira', description: 'Mira keeps the lighthouse of a small island.', voice_tone: 'calm', is_public: false,
})
const conversation = await insert('conversations', { title: 'The storm', character_id: mira.id })

const body = { conversation_id: conversation.id, character_id: mira.id, message, stream: true }
const reply = await data(playhouse.functions.invoke('playground-chat', { body, headers: { Accept: 'text/event-stream' } }))
for await (const { name, data } of events(reply)) {
  if (name === 'delta') process.stdout.write(data.text)
  if (name === 'error') throw new Error(data.error)
}

// Both messages are rows of the conversation.
const rows = await data(playhouse.from('messages').select('sender,content').eq('conversation_id', conversation.id))
console.log(`\n${rows.length} messages stored`)
