/** Data of other programs: a file is sent to the account's own folder, and taken in from there. */
import { account } from '../state/session.svelte'
import { call, db, headers, Refused } from './client'

const BUCKET = 'exports'

export interface UserReport {
  folder: string
  account: string | null
  imported: Record<string, number>
  unchanged: Record<string, number>
  skipped: { path: string; reason: string }[]
  notes: { path: string; note: string }[]
  not_listed: number
}

export interface Report {
  dry_run: boolean
  users: UserReport[]
  left_out: { path: string; reason: string }[]
  left_out_not_listed: number
}

export interface Import {
  id: string
  path: string
  dry_run: boolean
  state: 'waiting' | 'running' | 'done' | 'failed'
  done?: number
  total?: number
  file?: string
  report?: Report
  problem?: string
}

const folder = () => `${account.id}/imports`

/** Sends a file; `progress` hears how much of it is there, from 0 to 1. */
export async function send(file: File, progress: (share: number) => void): Promise<string> {
  const path = `${folder()}/${crypto.randomUUID()}.zip`
  const all = await headers({ 'Content-Type': 'application/zip' })
  await new Promise<void>((resolve, reject) => {
    // `fetch` does not say how far a body is.
    const request = new XMLHttpRequest()
    request.open('POST', `/storage/v1/object/${BUCKET}/${path}`)
    for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value)
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total)
    request.onerror = () => reject(new TypeError('the connection broke'))
    request.onload = () => {
      if (request.status < 300) return resolve()
      const body = (() => { try { return JSON.parse(request.responseText) } catch { return null } })()
      reject(new Refused(Number(body?.statusCode) || request.status, body?.message ?? request.statusText, body?.error ?? String(request.status), body))
    }
    request.send(file)
  })
  return path
}

export async function begin(path: string, userFolder: string, dry: boolean): Promise<Import> {
  return (await call('import-data', { action: 'begin', from: 'sillytavern', path, folder: userFolder || undefined, dry_run: dry })).import
}

/** How the last import fares; null where there was none since the server started. */
export async function state(): Promise<Import | null> {
  return (await call('import-data', { action: 'state' })).import
}

/** A file that was sent and not taken away again. */
export async function sent(): Promise<string | null> {
  const { data } = await db.storage.from(BUCKET).list(folder(), { limit: 1, sortBy: { column: 'created_at', order: 'desc' } })
  return data?.length ? `${folder()}/${data[0].name}` : null
}

/** Takes the files away; what came in stays. */
export async function discard(): Promise<void> {
  const { data } = await db.storage.from(BUCKET).list(folder(), { limit: 100 })
  const paths = (data ?? []).map((one) => `${folder()}/${one.name}`)
  if (paths.length) await db.storage.from(BUCKET).remove(paths)
}
