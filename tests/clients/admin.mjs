// Accounts, as the holder of the service key has them.
import { assert, check, client, data, newUser, refused } from './checks.mjs'

/** Creates, lists, changes and deletes accounts. */
export async function admin(at) {
  const service = client(at, at.serviceKey).auth.admin
  const email = `made-${crypto.randomUUID()}@example.com`
  let id

  await check('an admin creates a confirmed user', async () => {
    const asked = { email, password: 'x1234567', email_confirm: true, user_metadata: { a: 1 }, app_metadata: { plan: 'pro' } }
    const { user } = await data(service.createUser(asked))
    id = user.id
    assert.equal(user.user_metadata.a, 1)
    assert.equal(user.app_metadata.plan, 'pro')
    const signedIn = await data(client(at).auth.signInWithPassword({ email, password: 'x1234567' }))
    assert.equal(signedIn.user.id, id)
  })
  await check('an address can be used once', async () => {
    await refused(service.createUser({ email, password: 'x1234567' }), 'email_exists', 422)
  })
  await check('an admin lists users by page', async () => {
    const page = await data(service.listUsers({ page: 1, perPage: 1 }))
    assert.equal(page.users.length, 1)
    assert.ok(page.total >= 1)
    const all = []
    for (let number = 1; ; number += 1) {
      const { users } = await data(service.listUsers({ page: number, perPage: 200 }))
      all.push(...users)
      if (users.length < 200) break
    }
    assert.ok(all.some((user) => user.id === id))
  })
  await check('an admin reads and changes a user', async () => {
    assert.equal((await data(service.getUserById(id))).user.email, email)
    const { user } = await data(service.updateUserById(id, { user_metadata: { b: 2 }, password: 'y1234567' }))
    assert.equal(user.user_metadata.b, 2)
    await data(client(at).auth.signInWithPassword({ email, password: 'y1234567' }))
    await refused(service.getUserById(crypto.randomUUID()), 'user_not_found', 404)
  })
  await check('a generated link signs in', async () => {
    const { properties, user } = await data(service.generateLink({ type: 'magiclink', email }))
    assert.equal(user.id, id)
    assert.equal(properties.verification_type, 'magiclink')
    assert.ok(properties.action_link.startsWith('http'))
    assert.match(properties.email_otp, /^\d{6,}$/)
    const verify = () => client(at).auth.verifyOtp({ token_hash: properties.hashed_token, type: 'magiclink' })
    const { session } = await data(verify())
    assert.equal(session.user.id, id)
    await refused(verify(), 'otp_expired', 403)
  })
  await check('a banned user cannot sign in', async () => {
    await data(service.updateUserById(id, { ban_duration: '24h' }))
    await refused(client(at).auth.signInWithPassword({ email, password: 'y1234567' }), 'user_banned', 400)
    await data(service.updateUserById(id, { ban_duration: 'none' }))
    await data(client(at).auth.signInWithPassword({ email, password: 'y1234567' }))
  })
  await check('a deleted user is gone', async () => {
    await data(service.deleteUser(id))
    await refused(client(at).auth.signInWithPassword({ email, password: 'y1234567' }), 'invalid_credentials', 400)
    await refused(service.getUserById(id), 'user_not_found', 404)
  })
  await check('only the service key may do this', async () => {
    const user = await newUser(at, 'plain')
    for (const key of [client(at), user.client]) {
      const { data: found, error } = await key.auth.admin.listUsers()
      assert.ok(error, `listed ${found?.users?.length} users`)
      assert.ok([401, 403].includes(error.status), `status ${error.status}`)
      assert.ok((await key.auth.admin.deleteUser(user.id)).error)
    }
    await data(user.client.auth.getUser())
  })
}
