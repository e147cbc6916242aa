// Realtime through supabase-js: changed rows under policies and filters, broadcast, presence, reconnecting.
import { assert, check, client, data, environment, newUser, report, section } from './checks.mjs'
import { changes, later, subscribed } from './channels.mjs'

const where = environment()
const alice = await newUser(where, 'alice')
const bob = await newUser(where, 'bob')
const anonymous = client(where)
const service = client(where, where.serviceKey)

const row = (name, more) => ({ name, description: 'd', is_public: false, content_rating: 'sfw', ...more })
const insert = (user, values) => data(user.client.from('characters').insert({ ...values, user_id: user.id }).select().single())

async function policies() {
  const [own, other, everybody] = [alice.client.channel('own'), bob.client.channel('own'), service.channel('all')]
  const filter = { table: 'characters', filter: 'description=like.realtime%' }
  const [toAlice, toBob, toService] = [changes(own, filter), changes(other, filter), changes(everybody, filter)]
  await Promise.all([subscribed(own), subscribed(other), subscribed(everybody)])
  const values = (name, more) => row(name, { description: 'realtime', ...more })

  await check('an insert arrives whole, and only at those who may see it', async () => {
    const made = await insert(alice, values('Hidden', { default_presets: { kind: 'a' }, alternate_greetings: ['x, y'] }))
    const shown = await insert(bob, values('Shown', { is_public: true }))
    for (const next of [toAlice, toService]) {
      const change = await next()
      assert.equal(change.eventType, 'INSERT')
      assert.deepEqual(change.new, made)
      assert.deepEqual([change.schema, change.table, change.errors, change.old], ['public', 'characters', null, {}])
      assert.ok(!Number.isNaN(Date.parse(change.commit_timestamp)))
      assert.equal((await next()).new.id, shown.id)
    }
    assert.equal((await toBob()).new.id, shown.id)
  })
  await check('an update and a delete too, with the key of the old row', async () => {
    const made = await insert(alice, values('Moving'))
    const [first, second] = [toAlice, toService]
    await data(alice.client.from('characters').update({ is_public: true }).eq('id', made.id))
    await data(alice.client.from('characters').delete().eq('id', made.id))
    for (const next of [first, second]) {
      assert.equal((await next()).eventType, 'INSERT')
      const update = await next()
      assert.deepEqual([update.eventType, update.new.is_public, update.old], ['UPDATE', true, { id: made.id }])
      const end = await next()
      assert.deepEqual([end.eventType, end.new, end.old], ['DELETE', {}, { id: made.id }])
    }
    assert.deepEqual([(await toBob()).eventType, (await toBob()).eventType], ['UPDATE', 'DELETE'])
  })
  await check('what no policy can show is said', async () => {
    const channel = anonymous.channel('hidden')
    changes(channel, { table: 'conversations' })
    const told = await subscribed(channel)
    assert.equal(told.status, 'error')
    assert.match(told.message, /conversations/)
    await anonymous.removeChannel(channel)
  })
  await check('a wrong binding is refused with the reason', async () => {
    for (const [binding, reason] of [[{ table: 'nothing' }, /nothing/], [{ table: 'jobs', filter: 'id=noop.1' }, /filter/]]) {
      const channel = anonymous.channel(`wrong-${binding.table}`)
      changes(channel, binding)
      await assert.rejects(subscribed(channel), reason)
      await anonymous.removeChannel(channel)
    }
  })
  for (const [user, channel] of [[alice.client, own], [bob.client, other], [service, everybody]]) assert.equal(await user.removeChannel(channel), 'ok')
}

async function filters() {
  const hits = {
    eq: 'name=eq.Filtered', neq: 'name=neq.Other', gt: 'likes_count=gt.4', gte: 'likes_count=gte.5', lt: 'likes_count=lt.6', lte: 'likes_count=lte.5',
    like: 'name=like.Filt%', ilike: 'name=ilike.*TERED', match: 'name=match.^F', imatch: 'name=imatch.^f', is: 'is_public=is.false', in: 'name=in.(Filtered,"a,b")',
    isdistinct: 'description=isdistinct.x', cs: 'default_presets=cs.{"kind":"a"}', cd: 'default_presets=cd.{"kind":"a","more":1}', path: 'default_presets->>kind=eq.a',
    not: 'name=not.eq.Other', and: 'name=eq.Filtered,likes_count=gt.4', or: 'or=(name.eq.Filtered,name.eq.Nobody)', any: 'name=like(any).{F*,x*}', fts: 'description=plfts.green',
  }
  const channel = service.channel('filters')
  const found = Object.fromEntries(Object.keys(hits).map((name) => [name, []]))
  for (const [name, filter] of Object.entries(hits)) {
    channel.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'characters', filter }, (change) => found[name].push(change.new.name))
  }
  const last = later()
  channel.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'characters', filter: 'name=eq.End' }, () => last.resolve())
  assert.equal((await subscribed(channel)).status, 'ok')
  const put = (values) => data(service.from('characters').insert({ ...values, user_id: alice.id }))
  await put(row('Other', { description: 'x', is_public: true, likes_count: 9 }))
  await put(row('Filtered', { description: 'green eyes', likes_count: 5, default_presets: { kind: 'a' } }))
  await put(row('End'))
  await last
  for (const name of Object.keys(hits)) {
    await check(`the filter ${hits[name]} lets the row pass`, async () => assert.ok(found[name].includes('Filtered'), JSON.stringify(found[name])))
    // Both rows have more than four likes, and the empty object is in every object.
    if (!['gt', 'gte', 'cd'].includes(name)) await check(`the filter ${hits[name]} keeps the other`, async () => assert.ok(!found[name].includes('Other'), JSON.stringify(found[name])))
  }
  await service.removeChannel(channel)
}

async function shapes() {
  const id = crypto.randomUUID()
  const used = [
    ['workspace_assets', 'INSERT', `user_id=eq.${alice.id}`], ['workspace_assets', 'INSERT', `job_id=eq.${id}`], ['workspace_assets', 'INSERT'],
    ['jobs', 'UPDATE', `id=eq.${id}`], ['jobs', 'UPDATE', `id=eq.${alice.id}`], ['jobs', 'UPDATE', 'metadata->>destination=eq.character_portrait'], ['jobs', 'UPDATE'],
    ['character_scenes', 'UPDATE', `character_id=eq.${id}`], ['character_scenes', '*', `character_id=eq.${id}`], ['character_scenes', 'UPDATE', `conversation_id=eq.${id}`], ['character_scenes', '*', `conversation_id=eq.${id}`],
    ['characters', '*', 'is_public=eq.true'], ['characters', 'UPDATE'],
    ['user_library', '*', `character_id=eq.${id}`],
    ['system_config', 'UPDATE', 'id=eq.1'], ['system_config', 'UPDATE', 'id=eq.1'], ['system_config', 'UPDATE'],
    ['model_test_results', '*'],
  ]
  const channels = used.map(([table, event, filter], number) => {
    const channel = alice.client.channel(`${table}-${number}-${Date.now()}`)
    channel.on('postgres_changes', { event, schema: 'public', table, ...(filter ? { filter } : {}) }, () => {})
    return channel
  })
  await check('the channels of a real front end subscribe and leave', async () => {
    assert.equal(channels.length, 18)
    await Promise.all(channels.map((channel) => subscribed(channel)))
    for (const channel of channels) assert.equal(await alice.client.removeChannel(channel), 'ok')
  })
}

async function broadcasts() {
  const loud = alice.client.channel('room', { config: { broadcast: { ack: true, self: true } } })
  const quiet = bob.client.channel('room')
  const heard = { loud: [], quiet: [] }
  loud.on('broadcast', { event: '*' }, (message) => heard.loud.push(message))
  quiet.on('broadcast', { event: 'move' }, (message) => heard.quiet.push(message))
  await Promise.all([subscribed(loud, { changes: false }), subscribed(quiet, { changes: false })])
  const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10)) }
  await check('a broadcast is acknowledged, comes back and arrives', async () => {
    assert.equal(await loud.send({ type: 'broadcast', event: 'move', payload: { x: 1, name: 'é' } }), 'ok')
    await until(() => heard.loud.length > 0 && heard.quiet.length > 0)
    assert.deepEqual([heard.loud[0].payload, heard.quiet[0].payload], [{ x: 1, name: 'é' }, { x: 1, name: 'é' }])
  })
  await check('one without ack and self goes to the others alone', async () => {
    assert.equal(await quiet.send({ type: 'broadcast', event: 'move', payload: { x: 2 } }), 'ok')
    await until(() => heard.loud.length > 1)
    assert.deepEqual([heard.loud[1].payload, heard.quiet.length], [{ x: 2 }, 1])
  })
  await check('bytes arrive as bytes', async () => {
    assert.equal(await loud.send({ type: 'broadcast', event: 'move', payload: new Uint8Array([0, 159, 1]).buffer }), 'ok')
    await until(() => heard.quiet.length > 1)
    assert.deepEqual([...new Uint8Array(heard.quiet[1].payload)], [0, 159, 1])
  })
  await check('a broadcast without a socket arrives too', async () => {
    assert.deepEqual(await anonymous.channel('room').httpSend('move', { x: 3 }), { success: true })
    await until(() => heard.quiet.length > 2)
    assert.deepEqual(heard.quiet[2].payload, { x: 3 })
  })
  await check('a private topic is its row\'s', async () => {
    const talk = await data(alice.client.from('conversations').insert({ user_id: alice.id, title: 't' }).select('id').single())
    const [own, other] = [alice.client, bob.client].map((as) => as.channel(`conversations:${talk.id}`, { config: { private: true } }))
    await subscribed(own, { changes: false })
    await assert.rejects(subscribed(other, { changes: false }), /Unauthorized/)
    await bob.client.removeChannel(other)
    await alice.client.removeChannel(own)
  })
  await alice.client.removeChannel(loud)
  await bob.client.removeChannel(quiet)
}

async function presence() {
  const open = (as, key) => {
    const channel = as.channel('lobby', { config: { presence: { key } } })
    const seen = []
    for (const event of ['sync', 'join', 'leave']) channel.on('presence', { event }, (what) => seen.push({ event, ...what }))
    return { channel, seen, keys: () => Object.keys(channel.presenceState()).sort().join() }
  }
  const [one, two] = [open(alice.client, 'alice'), open(bob.client, 'bob')]
  await Promise.all([subscribed(one.channel, { changes: false }), subscribed(two.channel, { changes: false })])
  const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10)) }
  await check('who tracks is seen by all', async () => {
    assert.equal(await one.channel.track({ at: 1 }), 'ok')
    assert.equal(await two.channel.track({ at: 2 }), 'ok')
    await until(() => one.keys() === 'alice,bob' && two.keys() === 'alice,bob')
  })
  await check('an update is seen', async () => {
    assert.equal(await one.channel.track({ at: 3 }), 'ok')
    await until(() => two.channel.presenceState().alice?.[0]?.at === 3)
    assert.equal(two.channel.presenceState().alice.length, 1)
  })
  await check('who leaves or is cut off is gone', async () => {
    assert.equal(await one.channel.untrack(), 'ok')
    await until(() => two.keys() === 'bob')
    await bob.client.removeChannel(two.channel)
    await until(() => one.keys() === '')
    assert.ok(one.seen.some(({ event, key }) => event === 'leave' && key === 'bob'))
  })
  await alice.client.removeChannel(one.channel)
}

async function reconnecting() {
  const channel = alice.client.channel('again')
  const next = changes(channel, { table: 'conversations' })
  const told = []
  channel.on('system', {}, (payload) => told.push(payload))
  await subscribed(channel)
  const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10)) }
  await check('after a lost connection the channel joins again and says from which commit on', async () => {
    alice.client.realtime.socketAdapter.getSocket().conn.terminate()
    const missed = await data(alice.client.from('conversations').insert({ user_id: alice.id, title: 'missed' }).select('id').single())
    await until(() => told.length > 1)
    assert.ok(told[1].commit > told[0].commit, JSON.stringify(told))
    const { data: read } = await alice.client.from('conversations').select('id').eq('id', missed.id)
    assert.equal(read.length, 1, 'what was missed can be read')
    const made = await data(alice.client.from('conversations').insert({ user_id: alice.id, title: 'heard' }).select('id').single())
    let change = await next()
    if (change.new.id === missed.id) change = await next()
    assert.equal(change.new.id, made.id)
  })
  await alice.client.removeChannel(channel)
}

await section(policies)
await section(filters)
await section(shapes)
await section(broadcasts)
await section(presence)
await section(reconnecting)
report()
