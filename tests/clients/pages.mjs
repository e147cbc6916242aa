// Order, pages, counts and single rows. Reads what the filters' checks left.
import { assert, check, column, data, refused } from './checks.mjs'

/** Reads pages of one user's rows. */
export async function pages({ alice }) {
  const all = (select = 'name', options) => alice.client.from('characters').select(select, options).eq('user_id', alice.id).eq('story_role', 'filters')
  const ordered = (name, expected, order) => check(`order ${name}`, async () => column(await data(order(all())), 'name', expected))

  await ordered('ascending has nulls last', ['Bran', 'Zoe', 'Mira', 'Nox'], (q) => q.order('seed_locked'))
  await ordered('descending has nulls first', ['Nox', 'Mira', 'Zoe', 'Bran'], (q) => q.order('seed_locked', { ascending: false }))
  await ordered('descending can have nulls last', ['Mira', 'Zoe', 'Bran', 'Nox'], (q) => q.order('seed_locked', { ascending: false, nullsFirst: false }))
  await ordered('ascending can have nulls first', ['Nox', 'Bran', 'Zoe', 'Mira'], (q) => q.order('seed_locked', { nullsFirst: true }))
  await ordered('by several keys', ['Zoe', 'Nox', 'Mira', 'Bran'], (q) => q.order('is_public').order('created_at', { ascending: false }))
  await ordered('by JSON text', ['Mira', 'Bran', 'Nox', 'Zoe'], (q) => q.order('physical_traits->hair->>color').order('name'))

  await check('a counted page is partial content', async () => {
    const page = await all('name', { count: 'exact' }).order('name').range(1, 2)
    assert.equal(page.error, null)
    column(page.data, 'name', ['Mira', 'Nox'])
    assert.deepEqual([page.count, page.status], [4, 206])
  })
  await check('a counted whole is content', async () => {
    const page = await all('name', { count: 'exact' })
    assert.deepEqual([page.count, page.status, page.data.length], [4, 200, 4])
  })
  await check('planned and estimated counts are numbers', async () => {
    for (const count of ['planned', 'estimated']) assert.equal(typeof (await all('name', { count }).limit(1)).count, 'number')
  })
  await check('a head has a count and no rows', async () => {
    const head = await all('*', { count: 'exact', head: true })
    assert.deepEqual([head.error, head.data, head.count], [null, null, 4])
  })
  await check('an uncounted page has no count', async () => {
    const page = await all().order('name').limit(1)
    assert.deepEqual([page.count, page.status], [null, 200])
  })
  await check('limits and the end of the rows', async () => {
    assert.deepEqual(await data(all().limit(0)), [])
    column(await data(all().order('name').range(3, 9)), 'name', ['Zoe'])
  })
  await check('impossible ranges are refused', async () => {
    await refused(all().range(5, 2), 'PGRST103', 416)
    await refused(all('name', { count: 'exact' }).range(1000, 1010), 'PGRST103', 416)
  })
  await check('a Range header pages as well', async () => {
    const page = await all('name', { count: 'exact' }).order('name').setHeader('Range-Unit', 'items').setHeader('Range', '0-1')
    column(page.data, 'name', ['Bran', 'Mira'])
    assert.deepEqual([page.count, page.status], [4, 206])
  })
  await check('single is one object', async () => {
    assert.deepEqual(await data(all().eq('name', 'Bran').single()), { name: 'Bran' })
  })
  await check('single of none or several is refused', async () => {
    const none = await refused(all().eq('name', 'Nobody').single(), 'PGRST116', 406)
    assert.match(none.details, /0 rows/)
    const several = await refused(all().single(), 'PGRST116', 406)
    assert.match(several.details, /4 rows/)
  })
  await check('maybeSingle is one object or null', async () => {
    assert.deepEqual(await data(all().eq('name', 'Bran').maybeSingle()), { name: 'Bran' })
    assert.equal(await data(all().eq('name', 'Nobody').maybeSingle()), null)
    await refused(all().maybeSingle(), 'PGRST116')
  })
}
