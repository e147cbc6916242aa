// Every way to say which rows are meant, and what a row shows.
import { assert, check, column, data } from './checks.mjs'

const CAST = [
  {
    name: 'Bran', description: 'the tall one', mood: 'calm', seed_locked: 2, tagline: null,
    appearance_tags: ['green eyes', 'tall'], physical_traits: { hair: { color: 'red' }, age: 30, list: ['a', 'b'] },
    created_at: '2026-01-01T00:00:00+00:00',
  },
  {
    name: 'Mira', description: 'a fox, "sly" (red)', mood: 'bold', seed_locked: 10, tagline: 'Hello *there*',
    appearance_tags: ['red', 'tall', 'position:left'], physical_traits: { hair: { color: 'brown' }, age: 4, kind: 'z w' },
    created_at: '2026-02-01T10:20:30.123456+00:00',
  },
  {
    name: 'Nox', description: 'a,b(c)"d', mood: 'run,ning', seed_locked: null, tagline: 'a"b',
    appearance_tags: [], physical_traits: { hair: null }, created_at: '2026-03-01T00:00:00+00:00',
  },
  {
    name: 'Zoe', description: 'back\\slash', mood: 'x(y)', seed_locked: 7, tagline: '100% sure_thing',
    appearance_tags: null, physical_traits: null, created_at: '2026-04-01T00:00:00+00:00',
  },
]

/** Reads four rows by every operator. */
export async function filters({ alice }) {
  const own = alice.client
  await data(own.from('characters').insert(CAST.map((row) => ({ ...row, user_id: alice.id, is_public: false, story_role: 'filters' }))))

  /** Checks which of the four a query finds. */
  const finds = (name, expected, narrow) => check(`filter ${name}`, async () => {
    const rows = await data(narrow(own.from('characters').select('name').eq('user_id', alice.id).eq('story_role', 'filters')).order('name'))
    column(rows, 'name', expected)
  })

  await finds('eq', ['Mira'], (q) => q.eq('name', 'Mira'))
  await finds('eq on text that looks like syntax', ['Nox'], (q) => q.eq('description', 'a,b(c)"d'))
  await finds('eq on a backslash', ['Zoe'], (q) => q.eq('description', 'back\\slash'))
  await finds('eq null matches nothing', [], (q) => q.eq('tagline', null))
  await finds('eq on a boolean', ['Bran', 'Mira', 'Nox', 'Zoe'], (q) => q.eq('is_public', false))
  await finds('neq leaves nulls out', ['Bran', 'Zoe'], (q) => q.neq('seed_locked', 10))
  await finds('gt and lt', ['Zoe'], (q) => q.gt('seed_locked', 2).lt('seed_locked', 10))
  await finds('gte and lte', ['Bran', 'Mira', 'Zoe'], (q) => q.gte('seed_locked', 2).lte('seed_locked', 10))
  await finds('gte on a time', ['Mira', 'Nox', 'Zoe'], (q) => q.gte('created_at', '2026-02-01T10:20:30.123456Z'))
  await finds('lt on a time with zone', ['Bran'], (q) => q.lt('created_at', '2026-02-01T11:20:30.123456+01:00'))
  await finds('match', ['Mira'], (q) => q.match({ mood: 'bold', seed_locked: 10 }))

  await finds('like', ['Mira'], (q) => q.like('name', 'M%'))
  await finds('like regards case', [], (q) => q.like('name', 'm%'))
  await finds('ilike', ['Mira'], (q) => q.ilike('name', 'm_RA'))
  await finds('like with stars', ['Mira', 'Zoe'], (q) => q.or('name.like.*ira,name.like.Z*'))
  await finds('like with an escaped percent', ['Zoe'], (q) => q.like('tagline', '100\\%%'))
  await finds('like any', ['Bran', 'Zoe'], (q) => q.likeAnyOf('name', ['B%', 'Z%']))
  await finds('ilike all', ['Bran'], (q) => q.ilikeAllOf('name', ['%R%', '%n']))
  await finds('regular expressions', ['Bran', 'Mira'], (q) => q.regexIMatch('name', '^(b|m)'))

  await finds('is null', ['Bran'], (q) => q.is('tagline', null))
  await finds('is false', ['Bran', 'Mira', 'Nox', 'Zoe'], (q) => q.is('is_public', false))
  await finds('not is null', ['Mira', 'Nox', 'Zoe'], (q) => q.not('tagline', 'is', null))
  await finds('not eq leaves nulls out', ['Bran', 'Zoe'], (q) => q.not('seed_locked', 'eq', 10))
  await finds('isDistinct keeps nulls', ['Bran', 'Nox', 'Zoe'], (q) => q.isDistinct('seed_locked', 10))

  await finds('in', ['Bran', 'Zoe'], (q) => q.in('name', ['Bran', 'Zoe', 'Nobody']))
  await finds('in on numbers', ['Bran', 'Zoe'], (q) => q.in('seed_locked', [2, 7]))
  await finds('in nothing', [], (q) => q.in('name', []))
  await finds('in with commas and parentheses', ['Nox', 'Zoe'], (q) => q.in('mood', ['run,ning', 'x(y)']))
  await finds('in with a quote that the client does not escape', ['Nox'], (q) => q.in('tagline', ['a"b', 'z']))
  await finds('not in', ['Mira', 'Nox'], (q) => q.not('name', 'in', '("Bran","Zoe")'))

  await finds('contains', ['Bran', 'Mira'], (q) => q.contains('appearance_tags', ['tall']))
  await finds('contains an element with a blank', ['Bran'], (q) => q.contains('appearance_tags', ['green eyes']))
  await finds('contains an element with a colon', ['Mira'], (q) => q.contains('appearance_tags', ['position:left', 'red']))
  await finds('contains in JSON', ['Bran'], (q) => q.contains('physical_traits', { hair: { color: 'red' } }))
  await finds('contains nothing', ['Bran', 'Mira', 'Nox'], (q) => q.contains('appearance_tags', []))
  await finds('contained by', ['Bran', 'Nox'], (q) => q.containedBy('appearance_tags', ['green eyes', 'tall', 'x']))
  await finds('overlaps', ['Bran', 'Mira'], (q) => q.overlaps('appearance_tags', ['green eyes', 'red']))

  await finds('JSON text', ['Mira'], (q) => q.eq('physical_traits->>kind', 'z w'))
  await finds('JSON compared as JSON', ['Bran'], (q) => q.eq('physical_traits->age', 30))
  await finds('deep JSON', ['Bran'], (q) => q.eq('physical_traits->hair->>color', 'red'))
  await finds('JSON elements', ['Bran'], (q) => q.eq('physical_traits->list->>-1', 'b'))
  await finds('JSON that is missing is null', ['Nox', 'Zoe'], (q) => q.is('physical_traits->>age', null))
  await finds('JSON in a list', ['Bran', 'Mira'], (q) => q.in('physical_traits->hair->>color', ['red', 'brown']))

  await finds('or', ['Bran', 'Mira'], (q) => q.or('name.eq.Bran,mood.eq.bold'))
  await finds('or with nested and, in and not', ['Bran', 'Zoe'], (q) => q.or('name.eq.Zoe,and(seed_locked.lt.5,name.in.(Bran,Mira)),not.and(name.neq.Nobody,name.neq.Zoe)'))
  await finds('or with quotes', ['Nox', 'Zoe'], (q) => q.or('mood.eq."run,ning",mood.eq."x(y)"'))
  await finds('or with not is null', ['Mira', 'Nox', 'Zoe'], (q) => q.or('tagline.not.is.null,name.eq.Mira'))
  await finds('or with an array literal', ['Bran', 'Nox'], (q) => q.or('appearance_tags.cs.{tall,"green eyes"},name.eq.Nox'))
  await finds('or on JSON paths', ['Bran', 'Mira'], (q) => q.or('physical_traits->>age.eq.30,physical_traits->hair->>color.eq.brown'))
  await finds('two ors', ['Mira'], (q) => q.or('name.eq.Bran,name.eq.Mira').or('mood.eq.bold,mood.eq.x'))
  await finds('text search', ['Mira'], (q) => q.textSearch('description', 'fox', { type: 'plain', config: 'english' }))
  await selects(own, alice)
}

async function selects(own, alice) {
  const one = (select, name = 'Bran') => data(own.from('characters').select(select).eq('user_id', alice.id).eq('story_role', 'filters').eq('name', name).single())

  await check('select renames, casts and reaches into JSON', async () => {
    const found = await one('title:name, seed_locked::text, physical_traits->hair->>color, first:physical_traits->list->0, physical_traits->age')
    assert.deepEqual(found, { title: 'Bran', seed_locked: '2', color: 'red', first: 'a', age: 30 })
  })
  await check('select takes newlines and blanks', async () => {
    assert.deepEqual(await one('\n  name,\n  mood ,\n  tag : tagline \n'), { name: 'Bran', mood: 'calm', tag: null })
  })
  await check('select * has every column and its value', async () => {
    const found = await one('*', 'Mira')
    assert.equal(found.created_at, '2026-02-01T10:20:30.123456+00:00')
    assert.deepEqual(found.appearance_tags, ['red', 'tall', 'position:left'])
    assert.equal(found.user_id, alice.id)
    assert.ok('persona' in found && 'alternate_greetings' in found)
  })
  await check('CSV has a header row and quotes what needs it', async () => {
    const csv = await data(own.from('characters').select('name,description,seed_locked').eq('user_id', alice.id).eq('story_role', 'filters').in('name', ['Bran', 'Nox']).order('name').csv())
    assert.equal(csv.trimEnd(), 'name,description,seed_locked\nBran,the tall one,2\nNox,"a,b(c)""d",')
  })
}
