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
}

export const PAGE = 60

export function ofLibrary(row: UserLibrary): Item {
  const about = row.generation_metadata ?? {}
  return {
    id: row.id, kept: true, video: row.asset_type === 'video', at: { bucket: 'user-library', path: row.storage_path }, title: row.custom_title ?? '',
    prompt: row.original_prompt, model: row.model_used, seed: row.generation_seed, width: row.width, height: row.height, made: row.created_at ?? '',
    expires: null, favourite: !!row.is_favorite, tags: row.tags ?? [], settings: about.settings ?? about, jobId: about.job_id ?? null,
  }
}

export function ofWorkspace(row: WorkspaceAssets): Item {
  return {
    id: row.id, kept: false, video: row.asset_type === 'video', at: { bucket: 'workspace-temp', path: row.temp_storage_path }, title: '',
    prompt: row.original_prompt, model: row.model_used, seed: row.generation_seed, width: row.width, height: row.height, made: row.created_at ?? '',
    expires: row.expires_at, favourite: false, tags: [], settings: row.generation_settings ?? {}, jobId: row.job_id,
  }
}

export type Which = 'kept' | 'workspace' | 'favourites' | 'bin'

/** A page of pictures, the newest first. */
export async function items(which: Which, search: string, page: number, size = PAGE, tag = ''): Promise<Item[]> {
  if (which === 'bin') {
    const { items } = await call('library-bin', { action: 'list', limit: size, offset: page * size })
    return items.map((row: UserLibrary & { expires_at: string }) => ({ ...ofLibrary(row), expires: row.expires_at }))
  }
  const range = [page * size, page * size + size - 1] as const
  if (which === 'workspace') {
    let query = db.from('workspace_assets').select('*').eq('user_id', account.id)
    if (wordsOf(search)) query = query.textSearch('original_prompt', wordsOf(search))
    const found = await rows<WorkspaceAssets[]>(query.order('created_at', { ascending: false }).order('id', { ascending: false }).range(...range))
    return found.map(ofWorkspace)
  }
  let query = db.from('user_library').select('*').eq('user_id', account.id).in('asset_type', ['image', 'video'])
  if (which === 'favourites') query = query.eq('is_favorite', true)
  if (tag) query = query.contains('tags', [tag])
  if (wordsOf(search)) query = query.or(anyOf(['original_prompt', 'custom_title'], search))
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

/** The tags of the pictures that were kept last, the most used first. */
export async function tags(): Promise<string[]> {
  const query = db.from('user_library').select('tags').eq('user_id', account.id).neq('tags', '{}').order('created_at', { ascending: false }).limit(1000)
  const counts = new Map<string, number>()
  for (const row of await rows<{ tags: string[] | null }[]>(query)) for (const tag of row.tags ?? []) counts.set(tag, (counts.get(tag) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1]).map(([tag]) => tag).slice(0, 40)
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
