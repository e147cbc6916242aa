/** Models that are installed on the server, for administrators. */
import { call, db, rows } from './client'
import type { ApiModels } from './tables'

export interface Installed {
  type: 'image' | 'lora' | 'chat' | 'file' | 'folder'
  name: string
  sound: boolean
  problem?: string
  kind?: string
  architecture?: string
  context_tokens?: number
  trained_px?: number
  file_bytes?: number
  /** What its weights take in memory while it is loaded. */
  memory_bytes?: number | null
  parameters?: number
}

export interface Download {
  id: string
  file: string
  url: string
  state: 'fetching' | 'checking' | 'done' | 'failed' | 'cancelled'
  bytes: number
  total: number | null
  problem: string | null
}

export function installed(): Promise<{ models: Installed[]; downloads: Download[] }> {
  return call('installed-models', { action: 'list' })
}

export const verify = (name: string) => call<{ model: any }>('installed-models', { action: 'verify', name })
export const add = (url: string) => call<{ download: Download }>('installed-models', { action: 'add', url })
export const cancelDownload = (id: string) => call('installed-models', { action: 'cancel', id })
export const removeModel = (name: string) => call('installed-models', { action: 'remove', name })

/** Their rows in the catalogue, which say whether they are used, and for what. */
export function catalogue(): Promise<ApiModels[]> {
  return rows(db.from('api_models').select('*,api_providers!inner(name)').eq('api_providers.name', 'local').order('priority'))
}

/** The tasks for which a model can be the server's choice. */
export const TASKS: Record<string, string[]> = { image: ['t2i', 'i2i'], chat: ['roleplay', 'reasoning', 'enhancement'] }

export const isDefault = (row: ApiModels) => TASKS[row.modality]?.every((task) => row.default_for_tasks?.includes(task)) ?? false

/** Makes a model the one that is taken where no request names one, in place of the others of its kind. */
export async function makeDefault(row: ApiModels, all: ApiModels[]): Promise<void> {
  const tasks = TASKS[row.modality] ?? []
  for (const other of all.filter((other) => other.modality === row.modality && other.id !== row.id)) {
    const left = (other.default_for_tasks ?? []).filter((task) => !tasks.includes(task))
    if (left.length !== (other.default_for_tasks ?? []).length) await change(other.id, { default_for_tasks: left })
  }
  await change(row.id, { default_for_tasks: [...new Set([...(row.default_for_tasks ?? []), ...tasks])], is_active: true })
}

export async function change(id: string, columns: Partial<ApiModels>): Promise<void> {
  await rows(db.from('api_models').update(columns).eq('id', id))
}
