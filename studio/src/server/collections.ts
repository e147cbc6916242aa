/** Collections of the library: a picture is in one of them, or in none. */
import { account } from '../state/session.svelte'
import { db, rows } from './client'
import type { Item } from './library'
import type { Jobs, UserCollections } from './tables'

/** Collections that are asked for. */
const COLLECTIONS_MAX = 500
/** Rows that one change names. */
const IDS_MAX = 100

export type Collection = UserCollections & { user_library?: { count: number }[] }

export function collections(): Promise<Collection[]> {
  return rows(db.from('user_collections').select('*,user_library(count)').eq('user_id', account.id).order('name').limit(COLLECTIONS_MAX))
}

export function makeCollection(name: string): Promise<Collection> {
  return rows(db.from('user_collections').insert({ user_id: account.id, name }).select().single())
}

export async function renameCollection(id: string, name: string): Promise<void> {
  await rows(db.from('user_collections').update({ name }).eq('id', id))
}

/** Deletes a collection; its pictures stay in the library. */
export async function deleteCollection(id: string): Promise<void> {
  await rows(db.from('user_library').update({ collection_id: null }).eq('collection_id', id))
  await rows(db.from('user_collections').delete().eq('id', id))
}

/** Puts pictures into a collection, or into none. */
export async function collect(items: Item[], collection: string | null): Promise<void> {
  const ids = items.map((item) => item.id)
  for (let at = 0; at < ids.length; at += IDS_MAX) await rows(db.from('user_library').update({ collection_id: collection }).in('id', ids.slice(at, at + IDS_MAX)))
}

/** What a picture comes from, as far as its job says it. */
export interface Lineage {
  job: Jobs | null
  character: { id: string; name: string } | null
  chat: { id: string; title: string } | null
  board: { id: string; title: string } | null
  /** The picture that it was drawn over. */
  reference: string | null
}

export async function lineage(item: Item): Promise<Lineage> {
  const job = item.jobId ? await rows<Jobs | null>(db.from('jobs').select('*').eq('id', item.jobId).maybeSingle()) : null
  const about = { ...item.settings, ...(job?.metadata ?? {}) }
  const one = async <T>(table: string, columns: string, id: unknown): Promise<T | null> => (typeof id === 'string' && id ? rows<T | null>(db.from(table).select(columns).eq('id', id).maybeSingle()) : null)
  const [character, chat, scene] = await Promise.all([
    one<Lineage['character']>('characters', 'id,name', about.character_id ?? item.character), one<Lineage['chat']>('conversations', 'id,title', about.conversation_id),
    one<{ project: Lineage['board'] }>('storyboard_scenes', 'project:storyboard_projects(id,title)', about.storyboard_scene_id),
  ])
  const reference = [about.reference_image_url, about.referenceImageUrl, about.start_reference_url, item.settings.reference].find((one) => typeof one === 'string' && one)
  return { job, character, chat, board: scene?.project ?? null, reference: reference ?? null }
}
