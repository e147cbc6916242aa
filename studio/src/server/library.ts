/** Pictures and videos: those that are kept, and those of the workspace, in one form. */
import { account } from '../state/session.svelte'
import { call, db, rows } from './client'
import type { Place } from './pictures'
import { anyOf, wordsOf } from './search'
import type { UserLibrary, WorkspaceAssets } from './tables'

export interface Item {
  id: string
  kept: boolean
  video: boolean
  at: Place
  title: string
  prompt: string
  model: string
  seed: number | null
  width: number | null
  height: number | null
  made: string
  expires: string | null
  favourite: boolean
  tags: string[]
  /** How it was drawn, as far as is known. */
  settings: Record<string, any>
  jobId: string | null
  collection: string | null
  /** Whom it shows, where that is known. */
  character: string | null
}

export const PAGE = 60

export function ofLibrary(row: UserLibrary): Item {
  const about = row.generation_metadata ?? {}
  return {
    id: row.id, kept: true, video: row.asset_type === 'video', at: { bucket: 'user-library', path: row.storage_path }, title: row.custom_title ?? '',
    prompt: row.original_prompt, model: row.model_used, seed: row.generation_seed, width: row.width, height: row.height, made: row.created_at ?? '',
    expires: null, favourite: !!row.is_favorite, tags: row.tags ?? [], settings: about.settings ?? about, jobId: about.job_id ?? null,
    collection: row.collection_id, character: row.character_id,
  }
}

export function ofWorkspace(row: WorkspaceAssets): Item {
  return {
    id: row.id, kept: false, video: row.asset_type === 'video', at: { bucket: 'workspace-temp', path: row.temp_storage_path }, title: '',
    prompt: row.original_prompt, model: row.model_used, seed: row.generation_seed, width: row.width, height: row.height, made: row.created_at ?? '',
    expires: row.expires_at, favourite: false, tags: [], settings: row.generation_settings ?? {}, jobId: row.job_id,
    collection: null, character: null,
  }
}

export type Which = 'kept' | 'workspace' | 'favourites' | 'bin'

/** What narrows a list down; what is empty does not. */
export interface Only {
  tag?: string
  /** An id, or `none`. */
  collection?: string
  model?: string
  /** Days as `2024-12-31`, both within, by the clock of this browser. */
  since?: string
  until?: string
}

/** A page of pictures, the newest first. */
export async function items(which: Which, search: string, page: number, size = PAGE, only: Only = {}): Promise<Item[]> {
  const { tag, collection, model } = only
  const since = only.since && new Date(`${only.since}T00:00`).toISOString()
  const until = only.until && new Date(new Date(`${only.until}T00:00`).getTime() + 24 * 3600 * 1000).toISOString()
  const within = <Q extends { gte: any; lt: any; eq: any }>(query: Q): Q => {
    if (since) query = query.gte('created_at', since)
    if (until) query = query.lt('created_at', until)
    return model ? query.eq('model_used', model) : query
  }
  if (which === 'bin') {
    const { items } = await call('library-bin', { action: 'list', limit: size, offset: page * size })
    return items.map((row: UserLibrary & { expires_at: string }) => ({ ...ofLibrary(row), expires: row.expires_at }))
  }
  const range = [page * size, page * size + size - 1] as const
  if (which === 'workspace') {
    let query = db.from('workspace_assets').select('*').eq('user_id', account.id)
    if (wordsOf(search)) query = query.textSearch('original_prompt', wordsOf(search))
    query = within(query)
    const found = await rows<WorkspaceAssets[]>(query.order('created_at', { ascending: false }).order('id', { ascending: false }).range(...range))
    return found.map(ofWorkspace)
  }
  let query = db.from('user_library').select('*').eq('user_id', account.id).in('asset_type', ['image', 'video'])
  if (which === 'favourites') query = query.eq('is_favorite', true)
  if (tag) query = query.contains('tags', [tag])
  if (collection) query = collection === 'none' ? query.is('collection_id', null) : query.eq('collection_id', collection)
  if (wordsOf(search)) query = query.or(anyOf(['original_prompt', 'custom_title'], search))
  query = within(query)
  const found = await rows<UserLibrary[]>(query.order('created_at', { ascending: false }).order('id', { ascending: false }).range(...range))
  return found.map(ofLibrary)
}

/** Keeps a picture of the workspace, which then leaves it. */
export async function keep(item: Item): Promise<void> {
  await call('workspace-actions', { action: 'clear_asset', assetId: item.id })
}

/** Deletes pictures: what was kept goes into the bin, the rest for good. */
export async function remove(items: Item[]): Promise<void> {
  const ids = items.filter((item) => item.kept).map((item) => item.id)
  for (let at = 0; at < ids.length; at += BIN_MAX) await call('library-bin', { action: 'delete', ids: ids.slice(at, at + BIN_MAX) })
  for (const item of items.filter((item) => !item.kept)) await call('workspace-actions', { action: 'discard_asset', assetId: item.id })
}

/** What one call of the bin takes. */
const BIN_MAX = 200

/** Puts what was deleted back into the library. */
export async function restore(items: Item[]): Promise<void> {
  const ids = items.filter((item) => item.kept).map((item) => item.id)
  for (let at = 0; at < ids.length; at += BIN_MAX) await call('library-bin', { action: 'restore', ids: ids.slice(at, at + BIN_MAX) })
}

/** Takes things out of the bin for good; all of them without a list. */
export async function empty(items?: Item[]): Promise<void> {
  if (!items) return void (await call('library-bin', { action: 'empty' }))
  for (let at = 0; at < items.length; at += BIN_MAX) await call('library-bin', { action: 'empty', ids: items.slice(at, at + BIN_MAX).map((item) => item.id) })
}

/** The tags and models of the pictures that were kept last, the most used first. */
export async function known(): Promise<{ tags: string[]; models: string[] }> {
  const query = db.from('user_library').select('tags,model_used').eq('user_id', account.id).order('created_at', { ascending: false }).limit(1000)
  const [tags, models] = [new Map<string, number>(), new Map<string, number>()]
  const add = (counts: Map<string, number>, name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
  for (const row of await rows<{ tags: string[] | null; model_used: string }[]>(query)) {
    for (const tag of row.tags ?? []) add(tags, tag)
    if (row.model_used) add(models, row.model_used)
  }
  const used = (counts: Map<string, number>) => [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name).slice(0, 40)
  return { tags: used(tags), models: used(models) }
}

export async function change(item: Item, columns: Partial<UserLibrary>): Promise<void> {
  await rows(db.from('user_library').update(columns).eq('id', item.id))
}

/** An address of a picture that opens without an account, for a week. */
export async function share(item: Item): Promise<string> {
  const { data, error } = await db.storage.from(item.at.bucket).createSignedUrl(item.at.path, 7 * 24 * 3600)
  if (error) throw error
  return data.signedUrl
}

/** Puts a file into a bucket of one's own, as something to begin with. */
export async function upload(file: Blob, ending: string): Promise<string> {
  const path = `${account.id}/${crypto.randomUUID()}.${ending}`
  const { error } = await db.storage.from('reference_images').upload(path, file, { contentType: file.type })
  if (error) throw error
  return `reference_images/${path}`
}
