// The eighteen channels that an existing front end opens: each table, event and filter, each hears of what it is for.
import { assert, check, client, data, environment, newUser, report } from './checks.mjs'
import { changes, subscribed } from './channels.mjs'

const where = environment()
const alice = await newUser(where, 'alice')
const bob = await newUser(where, 'bob')
const service = client(where, where.serviceKey)
const own = alice.client
const made = async (user, table, row) => data(user.from(table).insert(row).select().single())

const mira = await made(own, 'characters', { user_id: alice.id, name: 'Mira', description: 'd', is_public: true })
const chat = await made(own, 'conversations', { user_id: alice.id, title: 'Shapes', character_id: mira.id })
const job = crypto.randomUUID()
const record = { id: job, user_id: alice.id, job_type: 'image_fast', format: 'image', quality: 'fast', status: 'completed', metadata: { destination: 'character_portrait' } }
await made(service, 'jobs', record)
const scene = await made(own, 'character_scenes', { character_id: mira.id, conversation_id: chat.id, scene_prompt: 'the pier' })

const asset = (user_id) => ({ user_id, job_id: job, asset_type: 'image', temp_storage_path: `${user_id}/a.png`, file_size_bytes: 1, mime_type: 'image/png', generation_seed: 1, original_prompt: 'x', model_used: 'm', asset_index: Math.floor(Math.random() * 1e6) })
const addAsset = () => made(own, 'workspace_assets', asset(alice.id))
const markJob = () => data(service.from('jobs').update({ error_message: crypto.randomUUID() }).eq('id', job))
const moveScene = () => data(own.from('character_scenes').update({ scene_name: crypto.randomUUID() }).eq('id', scene.id))
const rename = () => data(own.from('characters').update({ description: crypto.randomUUID() }).eq('id', mira.id))
const keep = () => made(own, 'user_library', { user_id: alice.id, character_id: mira.id, asset_type: 'image', storage_path: `${alice.id}/k.png`, file_size_bytes: 1, mime_type: 'image/png', original_prompt: 'x', model_used: 'm' })
const configure = () => data(service.from('system_config').update({ config: { shapes: crypto.randomUUID() } }).eq('id', 1))
const score = () => made(service, 'model_test_results', { user_id: alice.id, model_type: 'SDXL', prompt_text: 'x', test_series: 'shapes', test_tier: 'artistic' })

const shapes = [
  ['workspace_assets', 'INSERT', `user_id=eq.${alice.id}`, addAsset],
  ['workspace_assets', 'INSERT', `job_id=eq.${job}`, addAsset],
  ['workspace_assets', 'INSERT', undefined, addAsset],
  ['jobs', 'UPDATE', `id=eq.${job}`, markJob],
  ['jobs', 'UPDATE', `id=eq.${job}`, markJob],
  ['jobs', 'UPDATE', 'metadata->>destination=eq.character_portrait', markJob],
  ['jobs', 'UPDATE', undefined, markJob],
  ['character_scenes', 'UPDATE', `character_id=eq.${mira.id}`, moveScene],
  ['character_scenes', '*', `character_id=eq.${mira.id}`, moveScene],
  ['character_scenes', 'UPDATE', `conversation_id=eq.${chat.id}`, moveScene],
  ['character_scenes', '*', `conversation_id=eq.${chat.id}`, moveScene],
  ['characters', '*', undefined, rename],
  ['characters', 'UPDATE', 'is_public=eq.true', rename],
  ['user_library', '*', `character_id=eq.${mira.id}`, keep],
  ['system_config', 'UPDATE', 'id=eq.1', configure, service],
  ['system_config', 'UPDATE', 'id=eq.1', configure, service],
  ['system_config', 'UPDATE', undefined, configure, service],
  ['model_test_results', '*', undefined, score, service],
]

await check('there are eighteen', async () => assert.equal(shapes.length, 18))
for (const [place, [table, event, filter, act, who]] of shapes.entries()) {
  await check(`${table} ${event} ${filter ?? ''}`, async () => {
    const listener = who ?? own
    const channel = listener.channel(`shape-${place}-${Date.now()}`)
    const next = changes(channel, filter ? { table, event, filter } : { table, event })
    const told = await subscribed(channel)
    assert.equal(told.status, 'ok', told.message)
    await act()
    const change = await next()
    assert.equal(change.table, table)
    assert.ok(change.new.id, JSON.stringify(change))
    assert.equal(await listener.removeChannel(channel), 'ok')
  })
}
await check('another account hears of none that is not its own to see', async () => {
  const channel = bob.client.channel('strange')
  const heard = []
  for (const table of ['workspace_assets', 'jobs', 'character_scenes', 'user_library']) {
    channel.on('postgres_changes', { schema: 'public', event: '*', table }, (change) => heard.push(change))
  }
  const next = changes(channel, { table: 'characters', event: '*' })
  await subscribed(channel)
  await addAsset()
  await markJob()
  await moveScene()
  await keep()
  await rename()
  // Changes come in the order of their commits: what was before the public character's has come, or never comes.
  assert.equal((await next()).new.id, mira.id)
  assert.deepEqual(heard, [])
  await bob.client.removeChannel(channel)
})
report()
