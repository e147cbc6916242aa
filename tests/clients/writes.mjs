// Inserts, upserts, updates and deletes, and what they answer.
import { assert, check, column, data, refused } from './checks.mjs'

/** Writes rows of one user in every way. */
export async function writes({ alice, service }) {
  const own = alice.client
  const characters = () => own.from('characters')
  const row = (name, more) => ({ name, description: 'd', user_id: alice.id, is_public: false, ...more })
  const id = crypto.randomUUID()

  await check('an insert without select answers nothing', async () => {
    const answer = await characters().insert(row('W0', { id }))
    assert.deepEqual([answer.error, answer.data, answer.status], [null, null, 201])
  })
  await check('an insert with select answers the row with its defaults', async () => {
    const answer = await characters().insert(row('W1', { physical_traits: { a: [1, null] }, appearance_tags: ['x', 'y z'] })).select()
    assert.equal(answer.status, 201)
    const [made] = answer.data
    assert.match(made.id, /^[0-9a-f-]{36}$/)
    assert.deepEqual(made.physical_traits, { a: [1, null] })
    assert.deepEqual(made.appearance_tags, ['x', 'y z'])
    assert.equal(made.gender, 'unspecified')
    assert.equal(made.content_rating, 'sfw')
    assert.equal(made.likes_count, 0)
    assert.equal(made.seed_locked, null)
    assert.match(made.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/)
  })
  await check('an insert answers the columns asked for', async () => {
    const made = await data(characters().insert(row('W2')).select('name, g:gender').single())
    assert.deepEqual(made, { name: 'W2', g: 'unspecified' })
  })
  await check('a bulk insert fills missing keys with null, or with defaults if asked', async () => {
    const rows = [row('B1', { gender: 'male' }), row('B2', { mood: 'calm' })]
    const nulled = await data(characters().insert(rows).select('name,gender,mood'))
    assert.deepEqual(nulled, [{ name: 'B1', gender: 'male', mood: null }, { name: 'B2', gender: null, mood: 'calm' }])
    const filled = await data(characters().insert(rows, { defaultToNull: false }).select('gender'))
    column(filled, 'gender', ['male', 'unspecified'])
  })
  await check('a bulk insert is all or nothing', async () => {
    await refused(characters().insert([row('all'), row('nothing', { gender: 'robot' })]), '23514', 400)
    assert.deepEqual(await data(characters().select('id').eq('name', 'all')), [])
  })
  await check('an empty bulk insert inserts nothing', async () => {
    const answer = await characters().insert([]).select()
    assert.deepEqual([answer.data, answer.error, answer.status], [[], null, 201])
  })
  await check('an insert counts', async () => {
    const answer = await characters().insert([row('C1'), row('C2')], { count: 'exact' })
    assert.equal(answer.error, null)
    assert.equal(answer.count, 2)
  })
  await check('an update answers nothing, the rows or a count', async () => {
    const silent = await characters().update({ mood: 'bold' }).eq('id', id)
    assert.deepEqual([silent.error, silent.data, silent.status], [null, null, 204])
    const shown = await characters().update({ mood: 'shy' }, { count: 'exact' }).eq('id', id).select('name,mood')
    assert.deepEqual([shown.data, shown.count, shown.status], [[{ name: 'W0', mood: 'shy' }], 1, 200])
    const none = await characters().update({ mood: 'x' }).eq('id', crypto.randomUUID()).select()
    assert.deepEqual([none.data, none.status], [[], 200])
  })
  await check('an update sets updated_at', async () => {
    const before = await data(characters().select('updated_at').eq('id', id).single())
    const after = await data(characters().update({ mood: 'new' }).eq('id', id).select('updated_at').single())
    assert.ok(new Date(after.updated_at) >= new Date(before.updated_at))
    assert.notEqual(after.updated_at, before.updated_at)
  })
  await check('an empty update changes nothing', async () => {
    assert.equal((await characters().update({}).eq('id', id)).error, null)
    assert.equal((await data(characters().select('name').eq('id', id).single())).name, 'W0')
  })
  await check('a single update of several rows is undone', async () => {
    await refused(characters().update({ mood: 'lost' }).eq('user_id', alice.id).select().single(), 'PGRST116', 406)
    assert.deepEqual(await data(characters().select('id').eq('mood', 'lost')), [])
  })
  await check('maxAffected undoes what goes beyond', async () => {
    const many = characters().update({ mood: 'lost' }).eq('user_id', alice.id).maxAffected(1).select()
    await refused(many, 'PGRST124', 400)
    assert.deepEqual(await data(characters().select('id').eq('mood', 'lost')), [])
  })
  await check('an upsert merges on the primary key', async () => {
    const [merged] = await data(characters().upsert(row('W0 again', { id })).select('id,name,mood'))
    assert.deepEqual(merged, { id, name: 'W0 again', mood: 'new' })
  })
  await check('an upsert that ignores duplicates leaves them', async () => {
    const other = crypto.randomUUID()
    const rows = [row('ignored', { id }), row('X1', { id: other })]
    const made = await data(characters().upsert(rows, { ignoreDuplicates: true }).select('id'))
    assert.deepEqual(made, [{ id: other }])
    assert.equal((await data(characters().select('name').eq('id', id).single())).name, 'W0 again')
  })
  await check('an upsert merges on named columns', async () => {
    const name = `provider-${crypto.randomUUID()}`
    const upsert = (display_name) => service.from('api_providers').upsert({ name, display_name }, { onConflict: 'name' }).select('id,display_name').single()
    const first = await data(upsert('One'))
    const second = await data(upsert('Two'))
    assert.equal(second.id, first.id)
    assert.equal(second.display_name, 'Two')
    const role = { user_id: alice.id, role: 'basic_user' }
    const ignored = await data(service.from('user_roles').upsert(role, { onConflict: 'user_id,role', ignoreDuplicates: true }).select())
    assert.deepEqual(ignored, [])
    await data(service.from('api_providers').delete().eq('id', first.id))
  })
  await check('an upsert needs a unique key', async () => {
    await refused(characters().upsert(row('x'), { onConflict: 'name' }), '42P10', 400)
  })
  await check('a delete answers nothing, the rows or a count', async () => {
    const silent = await characters().delete().eq('name', 'W1')
    assert.deepEqual([silent.error, silent.data, silent.status], [null, null, 204])
    const shown = await characters().delete({ count: 'exact' }).eq('user_id', alice.id).in('name', ['B1', 'B2', 'nobody']).select('name')
    column(shown.data.sort((a, b) => (a.name < b.name ? -1 : 1)), 'name', ['B1', 'B1', 'B2', 'B2'])
    assert.equal(shown.count, 4)
  })
  await check('writes without filters are refused', async () => {
    // A documented deviation: upstream would change every visible row.
    await refused(characters().update({ mood: 'all' }), '21000', 400)
    await refused(characters().delete(), '21000', 400)
    await refused(service.from('characters').delete(), '21000', 400)
    assert.ok((await data(characters().select('id').eq('id', id))).length === 1)
  })
  await check('what was written can be read', async () => {
    const left = await data(characters().select('name').eq('user_id', alice.id).order('name'))
    column(left, 'name', ['C1', 'C2', 'W0 again', 'W2', 'X1'])
    await data(characters().delete().eq('user_id', alice.id))
    assert.deepEqual(await data(characters().select('name').eq('user_id', alice.id)), [])
  })
}
