// Runs the official JavaScript client's auth and table calls against a live server.
// PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, PLAYHOUSE_SERVICE_KEY say where; exits non-zero unless every check holds.
import { check, client, environment, newUser, report, section } from './checks.mjs'
import { admin } from './admin.mjs'
import { auth } from './auth.mjs'
import { embeds } from './embeds.mjs'
import { filters } from './filters.mjs'
import { pages } from './pages.mjs'
import { policies } from './policies.mjs'
import { refusals } from './refusals.mjs'
import { rpc } from './rpc.mjs'
import { writes } from './writes.mjs'

const at = environment()
await section(auth, at)
await section(admin, at)
const world = { environment: at, anonymous: client(at), service: client(at, at.serviceKey) }
await check('two users can sign up', async () => {
  world.alice = await newUser(at, 'alice')
  world.bob = await newUser(at, 'bob')
})
for (const part of [writes, filters, pages, embeds, rpc, policies, refusals]) {
  await section(part, world)
}
report()
