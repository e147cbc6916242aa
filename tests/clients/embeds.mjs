// Related rows: hints, joins, filters on them, and their order.
import { assert, check, column, data, refused } from './checks.mjs'

/** Reads characters with their scenes, conversations with their characters, models with their providers. */
export async function embeds({ alice, service }) {
  const own = alice.client
  const insert = async (table, rows) => data(own.from(table).insert(rows).select('id'))
  const character = (name) => ({ name, description: 'd', user_id: alice.id, is_public: false, story_role: 'embeds' })
  const [hero, foil, loner] = await insert('characters', [character('Hero'), character('Foil'), character('Loner')])
  const scene = (character_id, scene_prompt, priority) => ({ character_id, scene_prompt, priority })
  await insert('character_scenes', [scene(hero.id, 'dawn', 1), scene(hero.id, 'dusk', 3), scene(hero.id, 'noon', 2), scene(foil.id, 'night', 9)])
  const talk = (title, character_id, user_character_id) => ({ title, user_id: alice.id, character_id, user_character_id })
  const [first, second] = await insert('conversations', [talk('T1', hero.id, foil.id), talk('T2', foil.id, null)])
  const message = (conversation_id, sender, content) => ({ conversation_id, sender, content })
  await insert('messages', [message(first.id, 'user', 'hi'), message(first.id, 'assistant', 'hello'), message(first.id, 'user', 'bye')])

  const cast = (select) => own.from('characters').select(select).eq('story_role', 'embeds').eq('user_id', alice.id)
  const talks = (select) => own.from('conversations').select(select).eq('user_id', alice.id)

  await check('to-many embeds are arrays', async () => {
    const found = await data(cast('name, character_scenes(scene_prompt)').order('name'))
    column(found, 'name', ['Foil', 'Hero', 'Loner'])
    assert.deepEqual(found[0].character_scenes, [{ scene_prompt: 'night' }])
    assert.equal(found[1].character_scenes.length, 3)
    assert.deepEqual(found[2].character_scenes, [])
  })
  await check('embedded rows have their own filters, order and limit', async () => {
    const query = cast('name, s:character_scenes(scene_prompt)').order('name')
    const found = await data(query.gt('s.priority', 1).order('priority', { referencedTable: 's', ascending: false }).limit(1, { referencedTable: 's' }))
    assert.deepEqual(found.map((row) => row.s), [[{ scene_prompt: 'night' }], [{ scene_prompt: 'dusk' }], []])
  })
  await check('or applies to embedded rows', async () => {
    const query = cast('name, character_scenes(scene_prompt)').eq('name', 'Hero')
    const found = await data(query.or('scene_prompt.eq.dawn,priority.eq.2', { referencedTable: 'character_scenes' }).single())
    assert.deepEqual(found.character_scenes.map((row) => row.scene_prompt).sort(), ['dawn', 'noon'])
  })
  await check('an inner join drops parents', async () => {
    const found = await data(cast('name, character_scenes!inner(scene_prompt)').eq('character_scenes.scene_prompt', 'dusk'))
    assert.deepEqual(found, [{ name: 'Hero', character_scenes: [{ scene_prompt: 'dusk' }] }])
  })
  await check('parents can be kept for having no children', async () => {
    column(await data(cast('name, character_scenes()').is('character_scenes', null)), 'name', ['Loner'])
    column(await data(cast('name, character_scenes()').not('character_scenes', 'is', null).order('name')), 'name', ['Foil', 'Hero'])
  })
  await check('to-one embeds are objects or null, hinted by column', async () => {
    const select = 'title, character:characters!character_id(name), user_character:characters!user_character_id(name)'
    const found = await data(talks(select).order('title'))
    assert.deepEqual(found, [
      { title: 'T1', character: { name: 'Hero' }, user_character: { name: 'Foil' } },
      { title: 'T2', character: { name: 'Foil' }, user_character: null },
    ])
  })
  await check('to-one embeds can be hinted by constraint', async () => {
    const found = await data(talks('title, characters!conversations_character_id_fkey(name)').order('title'))
    assert.deepEqual(found.map((row) => row.characters.name), ['Hero', 'Foil'])
  })
  await check('to-one embeds can be named by their column', async () => {
    assert.deepEqual(await data(talks('c:character_id(name)').eq('title', 'T1').single()), { c: { name: 'Hero' } })
  })
  await check('embeds nest', async () => {
    const select = 'title, character:characters!character_id(name, character_scenes(scene_prompt)), messages(content)'
    const found = await data(talks(select).eq('title', 'T2').single())
    assert.deepEqual(found, { title: 'T2', character: { name: 'Foil', character_scenes: [{ scene_prompt: 'night' }] }, messages: [] })
  })
  await check('children can be counted', async () => {
    const found = await data(talks('title, messages(count)').order('title'))
    assert.deepEqual(found, [{ title: 'T1', messages: [{ count: 3 }] }, { title: 'T2', messages: [{ count: 0 }] }])
  })
  await check('parents can be ordered by a to-one embed', async () => {
    const found = await data(talks('title, c:characters!character_id(name)').order('c(name)'))
    column(found, 'title', ['T2', 'T1'])
  })
  await check('writes answer embeds too', async () => {
    const made = { conversation_id: second.id, sender: 'user', content: 'new' }
    const found = await data(own.from('messages').insert(made).select('content, conversations(title)').single())
    assert.deepEqual(found, { content: 'new', conversations: { title: 'T2' } })
  })
  await check('an embed without a hint can be ambiguous', async () => {
    await refused(talks('title, characters(name)'), 'PGRST201', 300)
  })
  await check('an embed without a relationship is refused', async () => {
    await refused(cast('name, system_config(*)'), 'PGRST200', 400)
  })
  await check('a filter on what is not embedded is refused', async () => {
    await refused(cast('name').eq('character_scenes.scene_prompt', 'dusk'), 'PGRST108', 400)
  })
  await check('an embed can only be tested for null', async () => {
    await refused(cast('name, character_scenes()').eq('character_scenes', 'x'), 'PGRST120', 400)
  })
  await check('parents cannot be ordered by a to-many embed', async () => {
    await refused(cast('name, character_scenes(id)').order('character_scenes(id)'), 'PGRST118', 400)
  })
  await check('relations without a foreign key can be declared', async () => {
    assert.deepEqual(await data(own.from('jobs').select('id, workspace_assets(temp_storage_path)')), [])
  })
  await library(own, alice, hero)
  await models(service)
  assert.ok(loner)
}

async function library(own, alice, hero) {
  await check('the library shows the character of an image', async () => {
    const asset = {
      user_id: alice.id, asset_type: 'image', storage_path: `${alice.id}/a.png`, file_size_bytes: 9_000_000_000,
      mime_type: 'image/png', original_prompt: 'p', model_used: 'm', character_id: hero.id, tags: ['role:position', 'duo'],
      duration_seconds: 1.5, roleplay_metadata: { character_id: hero.id }, output_type: 'portrait',
    }
    await data(own.from('user_library').insert(asset))
    const select = 'file_size_bytes, duration_seconds, characters!user_library_character_id_fkey(name, reference_image_url)'
    const found = await data(own.from('user_library').select(select).contains('tags', ['role:position', 'duo']).contains('roleplay_metadata', { character_id: hero.id }).single())
    assert.deepEqual(found, { file_size_bytes: 9_000_000_000, duration_seconds: 1.5, characters: { name: 'Hero', reference_image_url: null } })
    column(await data(own.from('user_library').select('output_type').or('output_type.is.null,output_type.eq.portrait')), 'output_type', ['portrait'])
    const by_json = own.from('user_library').select('id').eq('roleplay_metadata->character_id', JSON.stringify(hero.id))
    assert.equal((await data(by_json)).length, 1)
    const counted = await data(own.from('characters').select('portrait_count').eq('id', hero.id).single())
    assert.equal(counted.portrait_count, 1)
  })
}

async function models(service) {
  await check('models can be filtered by their provider', async () => {
    const name = `provider-${crypto.randomUUID()}`
    const provider = await data(service.from('api_providers').insert({ name, display_name: 'P' }).select('id').single())
    const model = (model_key) => ({ provider_id: provider.id, model_key, display_name: model_key, modality: 'image', tasks: ['t2i'], default_for_tasks: model_key === 'm1' ? ['t2i'] : [] })
    await data(service.from('api_models').insert([model('m1'), model('m2')]))
    const select = 'model_key, api_providers!inner(name, display_name)'
    const found = await data(service.from('api_models').select(select).eq('api_providers.name', name).order('model_key'))
    assert.deepEqual(found.map((row) => [row.model_key, row.api_providers.name]), [['m1', name], ['m2', name]])
    const narrowed = service.from('api_models').select(select).eq('api_providers.name', name).contains('default_for_tasks', ['t2i'])
    column(await data(narrowed), 'model_key', ['m1'])
    assert.deepEqual(await data(service.from('api_models').select(select).eq('api_providers.name', `no-${name}`)), [])
    await data(service.from('api_providers').delete().eq('id', provider.id))
    assert.deepEqual(await data(service.from('api_models').select('id').eq('provider_id', provider.id)), [])
  })
}
