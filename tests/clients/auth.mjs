// Accounts and sessions, as a user has them.
import { assert, check, client, data, newUser, refused } from './checks.mjs'

/** Signs up, in and out in every way. */
export async function auth(at) {
  const email = `mira-${crypto.randomUUID()}@example.com`
  const password = 'secret12'
  const own = client(at)

  await check('sign-up gives a confirmed user and a session', async () => {
    const { user, session } = await data(own.auth.signUp({ email, password, options: { data: { nick: 'm', old: 1 } } }))
    assert.equal(user.email, email)
    assert.equal(user.role, 'authenticated')
    assert.equal(user.aud, 'authenticated')
    assert.equal(user.user_metadata.nick, 'm')
    assert.deepEqual(user.app_metadata.providers, ['email'])
    assert.ok(user.email_confirmed_at)
    assert.equal(user.identities.length, 1)
    assert.equal(session.token_type, 'bearer')
    assert.ok(session.refresh_token)
    assert.ok(session.expires_at > Date.now() / 1000)
    const claims = JSON.parse(Buffer.from(session.access_token.split('.')[1], 'base64url'))
    assert.equal(claims.sub, user.id)
    assert.equal(claims.role, 'authenticated')
    assert.equal(claims.aud, 'authenticated')
    assert.ok(claims.session_id)
  })
  await check('sign-up creates a profile and a role', async () => {
    const { user } = await data(own.auth.getUser())
    const profile = await data(own.from('profiles').select('*').eq('id', user.id).single())
    assert.equal(profile.username, email.split('@')[0])
    assert.equal(profile.token_balance, 100)
    assert.equal(profile.subscription_status, 'inactive')
    const roles = await data(own.from('user_roles').select('role').eq('user_id', user.id))
    assert.deepEqual(roles, [{ role: 'basic_user' }])
  })
  await check('a second sign-up is refused', async () => {
    const error = await refused(client(at).auth.signUp({ email, password: 'other-secret' }), 'user_already_exists', 422)
    assert.equal(error.name, 'AuthApiError')
    await refused(client(at).auth.signUp({ email: email.toUpperCase(), password }), 'user_already_exists', 422)
  })
  await check('a weak password is refused', async () => {
    await refused(client(at).auth.signUp({ email: `w-${email}`, password: '12345' }), 'weak_password', 422)
  })
  await check('an address that is none is refused', async () => {
    await refused(client(at).auth.signUp({ email: 'not an address', password }), ['validation_failed', 'email_address_invalid'], 400)
  })
  await check('sign-in gives a session', async () => {
    const { user, session } = await data(client(at).auth.signInWithPassword({ email, password }))
    assert.equal(session.user.id, user.id)
    assert.ok(user.last_sign_in_at)
  })
  await check('a wrong password and an unknown account are refused alike', async () => {
    const wrong = await refused(client(at).auth.signInWithPassword({ email, password: 'wrong-one' }), 'invalid_credentials', 400)
    const unknown = client(at).auth.signInWithPassword({ email: `no-${email}`, password })
    assert.equal(wrong.message, 'Invalid login credentials')
    assert.equal((await refused(unknown, 'invalid_credentials', 400)).message, wrong.message)
  })
  await check('getUser and getClaims tell who is signed in', async () => {
    const { user } = await data(own.auth.getUser())
    assert.equal(user.email, email)
    const { claims } = await data(own.auth.getClaims())
    assert.equal(claims.sub, user.id)
    const other = await data(client(at).auth.getUser((await data(own.auth.getSession())).session.access_token))
    assert.equal(other.user.id, user.id)
  })
  await check('a token that is none is refused', async () => {
    await refused(client(at).auth.getUser('a.b.c'), 'bad_jwt', 403)
  })
  await check('updateUser merges metadata and changes the password', async () => {
    const { user } = await data(own.auth.updateUser({ data: { mood: 'calm', old: null } }))
    assert.deepEqual({ nick: user.user_metadata.nick, mood: user.user_metadata.mood }, { nick: 'm', mood: 'calm' })
    assert.ok(!('old' in user.user_metadata), 'null deletes a key')
    await data(own.auth.updateUser({ password: 'secret34' }))
    await refused(client(at).auth.signInWithPassword({ email, password }), 'invalid_credentials', 400)
    await data(client(at).auth.signInWithPassword({ email, password: 'secret34' }))
    await refused(own.auth.updateUser({ password: 'secret34' }), 'same_password', 422)
  })
  await refreshing(at)
  await check('the server tells its settings and health', async () => {
    const settings = await (await fetch(`${at.url}/auth/v1/settings`, { headers: { apikey: at.anonKey } })).json()
    assert.equal(settings.mailer_autoconfirm, true)
    assert.equal(typeof settings.external, 'object')
    const health = await (await fetch(`${at.url}/auth/v1/health`, { headers: { apikey: at.anonKey } })).json()
    assert.equal(health.name, 'GoTrue')
  })
  await check('a password reset does not tell who exists', async () => {
    const known = await own.auth.resetPasswordForEmail(email)
    const unknown = await own.auth.resetPasswordForEmail(`no-${email}`)
    assert.equal(known.error, null)
    assert.equal(unknown.error, null)
  })
}

async function refreshing(at) {
  await check('a refresh rotates the session', async () => {
    const { client: own } = await newUser(at, 'refresh')
    const before = (await data(own.auth.getSession())).session
    const { session } = await data(own.auth.refreshSession())
    assert.notEqual(session.refresh_token, before.refresh_token)
    assert.ok(session.access_token)
    // Two tabs may refresh at once: soon after, the old token yields the current session.
    const again = await data(client(at).auth.refreshSession({ refresh_token: before.refresh_token }))
    assert.equal(again.session.user.id, session.user.id)
    await data(own.auth.getUser())
  })
  await check('an unknown refresh token is refused', async () => {
    await refused(client(at).auth.refreshSession({ refresh_token: 'nothing' }), 'refresh_token_not_found', 400)
  })
  await check('signing out ends the session', async () => {
    const { client: own, email, password } = await newUser(at, 'leaver')
    const other = client(at)
    await data(other.auth.signInWithPassword({ email, password }))
    const { session } = await data(own.auth.getSession())
    assert.equal((await own.auth.signOut({ scope: 'local' })).error, null)
    await refused(client(at).auth.refreshSession({ refresh_token: session.refresh_token }), ['refresh_token_not_found', 'session_not_found'])
    await data(other.auth.getUser())
    assert.equal((await other.auth.signOut()).error, null)
    assert.equal((await data(other.auth.getSession())).session, null)
  })
  await check('a session can be set from its tokens', async () => {
    const { client: own, id } = await newUser(at, 'setter')
    const { session } = await data(own.auth.getSession())
    const other = client(at)
    await data(other.auth.setSession({ access_token: session.access_token, refresh_token: session.refresh_token }))
    assert.equal((await data(other.from('profiles').select('id').eq('id', id).single())).id, id)
  })
}
