// What the server says when it declines.
import { assert, check, data, refused } from './checks.mjs'

/** Asks one user's client for what cannot be. */
export async function refusals({ alice, service, environment }) {
  const own = alice.client
  const characters = () => own.from('characters')
  const row = (more) => ({ name: 'R', description: 'd', user_id: alice.id, is_public: false, ...more })

  await check('an unknown table', async () => {
    const error = await refused(own.from('no_such_table').select(), 'PGRST205', 404)
    assert.equal(error.message, "Could not find the table 'public.no_such_table' in the schema cache")
    assert.ok('details' in error && 'hint' in error)
    await refused(own.from('no_such_table').insert({ a: 1 }), 'PGRST205', 404)
  })
  await check('an unknown column', async () => {
    const error = await refused(characters().select('no_such_column'), '42703', 400)
    assert.equal(error.message, 'column characters.no_such_column does not exist')
    await refused(characters().select().eq('no_such_column', 1), '42703', 400)
    await refused(characters().select().order('no_such_column'), '42703', 400)
    await refused(characters().select().or('no_such_column.eq.1,name.eq.x'), '42703', 400)
  })
  await check('an unknown key of a body', async () => {
    const error = await refused(characters().insert(row({ no_such_column: 1 })), 'PGRST204', 400)
    assert.equal(error.message, "Could not find the 'no_such_column' column of 'characters' in the schema cache")
    await refused(characters().insert([row(), row({ no_such_column: 1 })]), 'PGRST204', 400)
    await refused(characters().update({ no_such_column: 1 }).eq('name', 'R'), 'PGRST204', 400)
  })
  await check('a value of the wrong type', async () => {
    const uuid = await refused(characters().select().eq('id', 'x'), '22P02', 400)
    assert.equal(uuid.message, 'invalid input syntax for type uuid: "x"')
    const integer = await refused(characters().select().eq('seed_locked', 'x'), '22P02', 400)
    assert.equal(integer.message, 'invalid input syntax for type integer: "x"')
    await refused(characters().insert(row({ seed_locked: 'x' })), '22P02', 400)
    await refused(characters().insert(row({ id: 'x' })), '22P02', 400)
    await refused(characters().select().gte('created_at', 'yesterday-ish'), '22007', 400)
    await refused(characters().insert(row({ seed_locked: 3_000_000_000 })), '22003', 400)
  })
  await check('a key that exists', async () => {
    const id = crypto.randomUUID()
    await data(characters().insert(row({ id })))
    const error = await refused(characters().insert(row({ id })), '23505', 409)
    assert.equal(error.message, 'duplicate key value violates unique constraint "characters_pkey"')
    assert.equal(error.details, `Key (id)=(${id}) already exists.`)
    await data(characters().delete().eq('id', id))
  })
  await check('a reference to nothing', async () => {
    const orphan = { conversation_id: crypto.randomUUID(), sender: 'user', content: 'x' }
    const error = await refused(service.from('messages').insert(orphan), '23503', 409)
    assert.match(error.message, /violates foreign key constraint "messages_conversation_id_fkey"/)
  })
  await check('a row that is still referred to', async () => {
    const made = await data(characters().insert(row()).select('id').single())
    const talk = await data(own.from('conversations').insert({ user_id: alice.id, character_id: made.id }).select('id').single())
    await refused(characters().delete().eq('id', made.id), '23503', 409)
    await data(own.from('conversations').delete().eq('id', talk.id))
    await data(characters().delete().eq('id', made.id))
  })
  await check('a value that a check forbids', async () => {
    const error = await refused(characters().insert(row({ gender: 'robot' })), '23514', 400)
    assert.equal(error.message, 'new row for relation "characters" violates check constraint "characters_gender_check"')
    await refused(own.from('projects').insert({ user_id: alice.id, title: 't', media_type: 'smell', original_prompt: 'p' }), '23514', 400)
  })
  await check('a value that is missing', async () => {
    const error = await refused(characters().insert({ description: 'd', user_id: alice.id }), '23502', 400)
    assert.equal(error.message, 'null value in column "name" of relation "characters" violates not-null constraint')
    await refused(characters().update({ name: null }).eq('user_id', alice.id), '23502', 400)
  })
  await check('text that does not parse', async () => {
    const error = await refused(characters().select().filter('name', 'noop', 'x'), 'PGRST100', 400)
    assert.equal(error.message, '"failed to parse filter (noop.x)" (line 1, column 1)')
    await refused(characters().select('name,,mood'), 'PGRST100', 400)
    await refused(characters().select().or('name.ilike.%a,b%,mood.ilike.%a,b%'), 'PGRST100', 400)
    await refused(characters().select().or('name.ilike.%a)b%'), 'PGRST100', 400)
    await refused(characters().select().or('name.eq.1'.padStart(3000, 'and(')), 'PGRST100', 400)
  })
  await check('a body that is no JSON', async () => {
    const headers = { apikey: environment.anonKey, 'content-type': 'application/json' }
    const answer = await fetch(`${environment.url}/rest/v1/characters`, { method: 'POST', headers, body: '{"name":' })
    assert.equal(answer.status, 400)
    assert.equal((await answer.json()).code, 'PGRST102')
  })
  await check('a schema or a form that is not there', async () => {
    await refused(own.schema('secret').from('characters').select(), 'PGRST106', 406)
    await refused(characters().select().setHeader('Accept', 'image/png'), 'PGRST107', 406)
  })
  await check('preferences that are not understood, if strict', async () => {
    await refused(characters().select().setHeader('Prefer', 'handling=strict, anything=x'), 'PGRST122', 400)
    await data(characters().select('name').limit(1).setHeader('Prefer', 'anything=x'))
  })
  await check('a path or a method that is not there', async () => {
    const headers = { apikey: environment.anonKey }
    const path = await fetch(`${environment.url}/rest/v1/a/b/c`, { headers })
    assert.equal(path.status, 404)
    assert.equal((await path.json()).code, 'PGRST125')
  })
  await check('a browser may ask from anywhere', async () => {
    const headers = { origin: 'http://app.example', 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'apikey,x-anything' }
    const answer = await fetch(`${environment.url}/rest/v1/characters`, { method: 'OPTIONS', headers })
    assert.ok(answer.ok)
    assert.ok(answer.headers.get('access-control-allow-origin'))
    assert.match(answer.headers.get('access-control-allow-headers'), /x-anything/)
    assert.match(answer.headers.get('access-control-allow-methods'), /PATCH/)
  })
}
