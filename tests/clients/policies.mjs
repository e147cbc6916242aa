// Who sees and changes what: the owner, another user, nobody, and the holder of the service key.
import { assert, check, column, data, refused } from './checks.mjs'

/** One user's rows, seen by all. */
export async function policies({ alice, bob, anonymous, service, environment }) {
  const row = (name, more) => ({ name, description: 'd', user_id: alice.id, is_public: false, story_role: 'policies', content_rating: 'sfw', ...more })
  // Rating a character nsfw needs an adult: a birth date verifies the age.
  await alice.client.from('profiles').update({ birth_date: '1990-01-01' }).eq('id', alice.id)
  const insert = alice.client.from('characters').insert([row('Private'), row('Public', { is_public: true }), row('Adult', { is_public: true, content_rating: 'nsfw' })])
  const [hidden, shown] = await data(insert.select('id,name'))
  await alice.client.from('profiles').update({ birth_date: null }).eq('id', alice.id)
  const talk = await data(alice.client.from('conversations').insert({ user_id: alice.id, title: 'secret' }).select('id').single())
  await data(alice.client.from('messages').insert({ conversation_id: talk.id, sender: 'user', content: 'psst' }))

  const seen = (as, table = 'characters') => as.from(table).select('name').eq('user_id', alice.id).eq('story_role', 'policies').order('name')

  await check('the owner sees everything', async () => column(await data(seen(alice.client)), 'name', ['Adult', 'Private', 'Public']))
  await check('another user sees what is public and fit', async () => column(await data(seen(bob.client)), 'name', ['Public']))
  await check('nobody sees what is public and fit', async () => column(await data(seen(anonymous)), 'name', ['Public']))
  await check('the service key sees everything', async () => column(await data(seen(service)), 'name', ['Adult', 'Private', 'Public']))
  await check('counts tell no more than rows', async () => {
    const { count } = await bob.client.from('characters').select('*', { count: 'exact', head: true }).eq('user_id', alice.id).eq('story_role', 'policies')
    assert.equal(count, 1)
  })
  await check('conversations and messages are their owner\'s', async () => {
    for (const as of [bob.client, anonymous]) {
      assert.deepEqual(await data(as.from('conversations').select('*').eq('id', talk.id)), [])
      assert.deepEqual(await data(as.from('messages').select('*').eq('conversation_id', talk.id)), [])
    }
    assert.equal((await data(alice.client.from('messages').select('content').eq('conversation_id', talk.id))).length, 1)
  })
  await check('embeds show no more than their tables', async () => {
    const [found] = await data(bob.client.from('characters').select('name, character_scenes(id), conversations!conversations_character_id_fkey(id)').eq('id', shown.id))
    assert.deepEqual(found, { name: 'Public', character_scenes: [], conversations: [] })
  })
  await check('nobody and others insert nothing for a user', async () => {
    const made = { user_id: alice.id, title: 'forged' }
    const theirs = await refused(bob.client.from('conversations').insert(made), '42501', 403)
    assert.match(theirs.message, /row-level security policy for table "conversations"/)
    await refused(anonymous.from('conversations').insert(made), '42501', 401)
    await refused(bob.client.from('messages').insert({ conversation_id: talk.id, sender: 'user', content: 'x' }), '42501', 403)
    await refused(bob.client.from('user_roles').insert({ user_id: bob.id, role: 'admin' }), '42501', 403)
  })
  await check('others update and delete nothing', async () => {
    for (const as of [bob.client, anonymous]) {
      assert.deepEqual((await as.from('characters').update({ name: 'stolen' }).eq('id', shown.id).select()).data ?? [], [])
      assert.deepEqual((await as.from('characters').delete().eq('id', shown.id).select()).data ?? [], [])
    }
    assert.equal((await data(alice.client.from('characters').select('name').eq('id', shown.id).single())).name, 'Public')
  })
  await check('a row cannot be given away', async () => {
    await refused(alice.client.from('characters').update({ user_id: bob.id }).eq('id', hidden.id), '42501', 403)
  })
  await check('an upsert cannot reach another\'s row', async () => {
    const { error } = await bob.client.from('characters').upsert({ ...row('stolen'), id: hidden.id, user_id: bob.id })
    assert.equal(error?.code, '42501')
    assert.equal((await data(alice.client.from('characters').select('name').eq('id', hidden.id).single())).name, 'Private')
  })
  await check('messages are never changed', async () => {
    const answer = await alice.client.from('messages').update({ content: 'edited' }).eq('conversation_id', talk.id).select()
    assert.ok(answer.error?.code === '42501' || answer.data?.length === 0)
    assert.equal((await data(alice.client.from('messages').select('content').eq('conversation_id', talk.id).single())).content, 'psst')
  })
  await check('a user cannot raise a balance, a role or an age', async () => {
    await alice.client.from('profiles').update({ token_balance: 1_000_000, subscription_status: 'pro' }).eq('id', alice.id)
    await alice.client.from('profiles').update({ age_verified: true }).eq('id', alice.id)
    const profile = await data(alice.client.from('profiles').select('token_balance,subscription_status,age_verified').eq('id', alice.id).single())
    assert.deepEqual(profile, { token_balance: 100, subscription_status: 'inactive', age_verified: false })
  })
  await check('an adult sees what is public and adult', async () => {
    await data(bob.client.from('profiles').update({ birth_date: '1990-01-01' }).eq('id', bob.id))
    column(await data(seen(bob.client)), 'name', ['Adult', 'Public'])
  })
  await check('admin tables are for admins', async () => {
    const { data: rows, error } = await bob.client.from('api_provider_balances').select('*')
    assert.ok(error?.code === '42501' || rows.length === 0)
    await refused(bob.client.from('prompt_templates').insert({ enhancer_model: 'e', use_case: 'u', template_name: 't', system_prompt: 's' }), '42501', 403)
  })
  await check('a forged token opens nothing', async () => {
    const forged = await fetch(`${environment.url}/rest/v1/conversations?select=id`, {
      headers: { apikey: environment.anonKey, authorization: `Bearer ${forgedToken()}` },
    })
    assert.equal(forged.status, 401)
    assert.equal((await forged.json()).code, 'PGRST301')
  })
}

/** A token that claims the service role, signed with a key that is not the server's. */
function forgedToken() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ role: 'service_role', exp: 4_000_000_000 })}.${part('no signature')}`
}
