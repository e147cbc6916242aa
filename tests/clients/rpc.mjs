// Function calls, by POST and by GET.
import { assert, check, data, refused } from './checks.mjs'

/** Calls functions as one user. */
export async function rpc({ alice, bob }) {
  const own = alice.client
  const role = (_role) => ({ _user_id: alice.id, _role })

  await check('has_role answers a bare boolean', async () => {
    assert.equal(await data(own.rpc('has_role', role('basic_user'))), true)
    assert.equal(await data(own.rpc('has_role', role('admin'))), false)
    assert.equal(await data(own.rpc('has_role', role('basic_user'), { get: true })), true)
  })
  await check('an argument of the wrong type is refused', async () => {
    await refused(own.rpc('has_role', role('emperor')), '22P02', 400)
    await refused(own.rpc('has_role', { _user_id: 'x', _role: 'admin' }), '22P02', 400)
  })
  await check('verify_user_age goes by the calendar', async () => {
    assert.equal(await data(own.rpc('verify_user_age', { user_birth_date: '2000-02-29' })), true)
    assert.equal(await data(own.rpc('verify_user_age', { user_birth_date: new Date().toISOString().slice(0, 10) })), false)
    assert.equal(await data(own.rpc('verify_user_age', { user_birth_date: null })), false)
    assert.equal(await data(own.rpc('verify_user_age', { user_birth_date: '2000-02-29' }, { get: true })), true)
  })
  await check('get_safe_profile_view hides from others', async () => {
    const mine = await data(own.rpc('get_safe_profile_view', { profile_id: alice.id }))
    assert.equal(mine.token_balance, 100)
    const theirs = await data(own.rpc('get_safe_profile_view', { profile_id: bob.id }))
    assert.equal(theirs.id, bob.id)
    for (const hidden of ['birth_date', 'token_balance', 'subscription_status']) assert.equal(theirs[hidden] ?? null, null)
    assert.equal(await data(own.rpc('get_safe_profile_view', { profile_id: crypto.randomUUID() })), null)
  })
  await check('create_workspace_session leaves one session active', async () => {
    const first = await data(own.rpc('create_workspace_session', { p_user_id: alice.id }))
    const second = await data(own.rpc('create_workspace_session', { p_user_id: alice.id, p_session_name: 'Second' }))
    assert.match(second, /^[0-9a-f-]{36}$/)
    assert.notEqual(first, second)
    const sessions = await data(own.from('workspace_sessions').select('id,session_name,is_active').eq('user_id', alice.id).order('is_active', { ascending: false }))
    assert.deepEqual(sessions, [
      { id: second, session_name: 'Second', is_active: true },
      { id: first, session_name: 'Workspace Session', is_active: false },
    ])
  })
  await check('create_workspace_session is for oneself', async () => {
    const { error } = await own.rpc('create_workspace_session', { p_user_id: bob.id })
    assert.ok(error, 'made a session for somebody else')
    assert.deepEqual(await data(bob.client.from('workspace_sessions').select('id')), [])
  })
  await check('a function that writes cannot be called by GET', async () => {
    await refused(own.rpc('create_workspace_session', { p_user_id: alice.id }, { get: true }), '25006', 405)
  })
  await check('an unknown function or argument is refused', async () => {
    const { message } = await refused(own.rpc('no_such_function', { a: 1 }), 'PGRST202', 404)
    assert.match(message, /Could not find the function public\.no_such_function\(a\)/)
    await refused(own.rpc('has_role', { _user_id: alice.id }), 'PGRST202', 404)
    await refused(own.rpc('has_role', { ...role('admin'), extra: 1 }), 'PGRST202', 404)
    await refused(own.rpc('no_such_function', { a: 1 }, { get: true }), 'PGRST202', 404)
  })
}
