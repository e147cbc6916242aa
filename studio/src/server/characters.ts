/** What the page asks about characters. */
import { account } from '../state/session.svelte'
import { call, db, headers, refusal, rows } from './client'
import { anyOf, wordsOf } from './search'
import type { CharacterPortraits, Characters, Conversations } from './tables'

/** What a card in the gallery needs. */
export type CharacterCard = Pick<
  Characters,
  'id' | 'user_id' | 'name' | 'tagline' | 'description' | 'image_url' | 'reference_image_url' | 'is_public' | 'interaction_count' | 'quick_start'
>

const CARD = 'id,user_id,name,tagline,description,image_url,reference_image_url,is_public,interaction_count,quick_start'
export const PAGE = 48

/** A page of characters: one's own, or those that others share. */
export function characters(mine: boolean, search: string, page: number, tag = ''): Promise<CharacterCard[]> {
  let query = db.from('characters').select(CARD).order('updated_at', { ascending: false }).order('id')
  query = mine ? query.eq('user_id', account.id) : query.eq('is_public', true).neq('user_id', account.id)
  if (tag) query = query.contains('appearance_tags', [tag])
  if (wordsOf(search)) query = query.or(anyOf(['name', 'tagline', 'description'], search))
  return rows(query.range(page * PAGE, page * PAGE + PAGE - 1))
}

/** A page of characters that the account likes. */
export function liked(search: string, page: number, tag = ''): Promise<CharacterCard[]> {
  let query = db.from('characters').select(`${CARD},character_likes!inner(user_id)`).eq('character_likes.user_id', account.id)
  if (tag) query = query.contains('appearance_tags', [tag])
  if (wordsOf(search)) query = query.or(anyOf(['name', 'tagline', 'description'], search))
  return rows(query.order('updated_at', { ascending: false }).order('id').range(page * PAGE, page * PAGE + PAGE - 1))
}

/** The tags of the characters that changed last, one's own or those of others, the most used first. */
export async function characterTags(mine: boolean): Promise<string[]> {
  let query = db.from('characters').select('appearance_tags').not('appearance_tags', 'is', null).order('updated_at', { ascending: false }).limit(500)
  query = mine ? query.eq('user_id', account.id) : query.eq('is_public', true)
  const uses = new Map<string, number>()
  for (const row of await rows<{ appearance_tags: string[] | null }[]>(query)) {
    for (const tag of new Set(row.appearance_tags ?? [])) uses.set(tag, (uses.get(tag) ?? 0) + 1)
  }
  return [...uses].sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0])).map(([tag]) => tag).slice(0, 100)
}

export async function isLiked(id: string): Promise<boolean> {
  return (await rows<unknown[]>(db.from('character_likes').select('id').eq('character_id', id).eq('user_id', account.id))).length > 0
}

export async function like(id: string, likes: boolean): Promise<void> {
  if (likes) await rows(db.from('character_likes').insert({ character_id: id, user_id: account.id }))
  else await rows(db.from('character_likes').delete().eq('character_id', id).eq('user_id', account.id))
}

export function character(id: string): Promise<Characters | null> {
  return rows(db.from('characters').select('*').eq('id', id).maybeSingle())
}

export function makeCharacter(name: string, description: string): Promise<Characters> {
  return rows(db.from('characters').insert({ name, description, user_id: account.id, creator_id: account.id, is_public: false }).select().single())
}

/** Writes columns of a character. */
export function changeCharacter(id: string, columns: Partial<Characters>): Promise<Characters> {
  return rows(db.from('characters').update(columns).eq('id', id).select().single())
}

/** Deletes a character, which may be in use. */
export function deleteCharacter(id: string, withChats: boolean): Promise<unknown> {
  return call('delete-character', { character_id: id, confirm: true, conversations: withChats ? 'delete' : 'keep' })
}

/** The account's own characters that a new server begins with, as long as they are there. */
export function examples(): Promise<{ id: string; name: string }[]> {
  return rows(db.from('characters').select('id,name').eq('user_id', account.id).eq('quick_start', true).order('name').limit(20))
}

/** Imports a card file. */
export async function importCard(file: File): Promise<{ characterId: string; character: Characters; warnings?: string[] }> {
  const answer = await fetch('/functions/v1/import-character', {
    method: 'POST',
    headers: await headers({ 'Content-Type': file.type || 'application/octet-stream' }),
    body: file,
  })
  if (!answer.ok) throw await refusal(answer)
  return answer.json()
}

/** The card of a character as a file. */
export async function exportCard(id: string, format: string): Promise<Blob> {
  const answer = await fetch('/functions/v1/export-character', {
    method: 'POST',
    headers: await headers({ 'Content-Type': 'application/json' }),
    body: JSON.stringify({ characterId: id, format }),
  })
  if (!answer.ok) throw await refusal(answer)
  return answer.blob()
}

export function portraits(id: string): Promise<CharacterPortraits[]> {
  return rows(db.from('character_portraits').select('*').eq('character_id', id).order('created_at', { ascending: false }).limit(60))
}

/** Draws portraits; the first becomes the face where there is none. */
export function drawPortraits(id: string, count: number, more: string): Promise<{ imageUrls: string[]; warnings?: string[] }> {
  return call('character-portrait', { characterId: id, numImages: count, promptOverride: more || undefined })
}

export function chatsWith(id: string): Promise<Pick<Conversations, 'id' | 'title' | 'updated_at'>[]> {
  return rows(
    db.from('conversations').select('id,title,updated_at').eq('character_id', id).eq('user_id', account.id)
      .order('updated_at', { ascending: false }).limit(50),
  )
}

/** An entry of a lorebook, as far as the editor shows it; the rest of it stays as it came. */
export interface LoreEntry {
  keys: string[]
  content: string
  enabled: boolean
  constant?: boolean
  name?: string
  insertion_order?: number
  extensions?: object
}

export interface Lorebook {
  entries: LoreEntry[]
  extensions?: object
}

export async function lorebook(id: string): Promise<Lorebook | null> {
  return (await call('character-lorebook', { character_id: id })).book ?? null
}

export function setLorebook(id: string, book: Lorebook | null): Promise<unknown> {
  return call('character-lorebook', { character_id: id, book })
}
