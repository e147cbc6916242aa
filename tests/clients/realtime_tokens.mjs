// Tokens that end while a socket is open. PLAYHOUSE_TOKEN_S says how long they live.
import { assert, check, data, environment, newUser, report, section } from './checks.mjs'
import { changes, later } from './channels.mjs'

const where = environment()
const seconds = Number(process.env.PLAYHOUSE_TOKEN_S)
const pause = (share) => new Promise((resolve) => setTimeout(resolve, seconds * share * 1000))

async function tokens() {
  const cara = await newUser(where, 'cara')
  const channel = cara.client.channel('short')
  const next = changes(channel, { table: 'conversations' })
  const [joined, said, ended] = [later(), later(), later()]
  channel.on('system', {}, (payload) => { if (payload.status === 'error') said.resolve(payload) })
  channel.subscribe((status) => {
    if (status === 'SUBSCRIBED') joined.resolve()
    if (status === 'CLOSED') ended.resolve()
  })
  await joined
  await check('a renewed token keeps the channel beyond the first', async () => {
    await pause(0.6)
    await data(cara.client.auth.refreshSession())
    await pause(0.6)
    await data(cara.client.from('conversations').insert({ user_id: cara.id, title: 't' }))
    assert.equal((await next()).new.title, 't')
  })
  await check('one that is not renewed ends it, and says so', async () => {
    assert.match((await said).message, /expired/)
    await ended
  })
}

await section(tokens)
report()
