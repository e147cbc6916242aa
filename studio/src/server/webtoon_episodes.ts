/** Episodes of a story, their exports, and the link by which one is read. */
import { db, rows } from './client'
import type { Exports } from './tables'
import { v1 } from './webtoon'
import type { Bubble } from './webtoon_letters'

export interface Episode {
  episode_id: string
  story_id: string
  title: string
  default_image_style: string | null
  scene_ids: string[]
}

/** What an export is made as. */
export interface Wanted {
  kind: 'strip' | 'slices' | 'frames' | 'cbz' | 'pdf' | 'manifest'
  format?: string
  width?: number
  preset?: string
  background?: string
}

export interface Progress {
  done: number
  total: number
  message: string
}

/** An export as its row says it. */
export interface Export extends Pick<Exports, 'id' | 'status' | 'created_at'> {
  options: Wanted
  progress: Progress | null
  error: string | null
  warnings: string[]
  bytes: number | null
  job: string | null
  shared: string | null
  video: { status: string; progress: Progress | null; error: string | null } | null
}

export const KINDS = ['strip', 'slices', 'frames', 'cbz', 'pdf', 'film'] as const
export const PRESETS = ['1:1', '4:5', '9:16']
export const FORMATS: Record<string, string[]> = { strip: ['jpeg', 'png', 'webp'], slices: ['jpeg', 'png'], frames: ['jpeg', 'png', 'webp'] }
export const WIDTHS = { min: 320, max: 2048, usual: 800 }
export const SCENES_MAX = 200
/** The gap below a scene, as a part of the strip's width. */
const GAPS: Record<string, number> = { setup: 0.12, low: 0.12, release: 0.16, climax: 0.28, critical: 0.28, cliffhanger: 0.4 }
export const gapBelow = (importance: string | null) => GAPS[importance ?? ''] ?? 0.07

export const episodes = (story: string): Promise<Episode[]> => v1('GET', `stories/${story}/episodes`)
export const makeEpisode = (story: string, title: string): Promise<Episode> => v1('POST', `stories/${story}/episodes`, { title })
/** Replaces the scenes of an episode as a whole. */
export const setScenes = (episode: string, scene_ids: string[]): Promise<Episode> => v1('PUT', `episodes/${episode}/scenes`, { scene_ids })

/** Sets the style of an episode and its scenes, and draws each of them in it, by its plan and with its seeds. */
export const restyle = (episode: string, style_id: string, offline: boolean): Promise<{ jobs?: string[] }> => v1('POST', `episodes/${episode}/restyle`, { style_id, offline })

export async function renameEpisode(id: string, title: string): Promise<void> {
  await rows(db.from('episodes').update({ title }).eq('id', id))
}

/** Deletes an episode with its exports; its scenes stay. */
export async function deleteEpisode(id: string): Promise<void> {
  await rows(db.from('episodes').delete().eq('id', id))
}

/** Bubbles of scenes, by scene. */
export async function lettersOf(scenes: string[]): Promise<Record<string, Bubble[]>> {
  if (!scenes.length) return {}
  const found = await rows<{ scene_id: string; bubbles: Bubble[] }[]>(db.from('dialogue_layers').select('scene_id,bubbles').in('scene_id', scenes))
  return Object.fromEntries(found.map((one) => [one.scene_id, one.bubbles]))
}

const COLUMNS =
  'id,status,created_at,options:metadata_->options,progress:metadata_->progress,error:metadata_->>error,warnings:metadata_->warnings,bytes:metadata_->bytes,job:metadata_->>job_id,shared:metadata_->share->>id,video:metadata_->video'

/** Exports of an episode, the newest first. */
export async function exportsOf(episode: string): Promise<Export[]> {
  const found = await rows<Export[]>(db.from('exports').select(COLUMNS).eq('episode_id', episode).order('created_at', { ascending: false }).limit(60))
  return found.map((one) => ({ ...one, warnings: one.warnings ?? [] }))
}

const begin = (episode: string, wanted: Wanted): Promise<{ export_id: string; status: string }> => v1('POST', `episodes/${episode}/export`, wanted)

/** Makes an export as a job; answers with its id. A film is made of an export that lists the scenes. */
export async function makeExport(episode: string, wanted: Omit<Wanted, 'kind'> & { kind: Wanted['kind'] | 'film' }): Promise<string> {
  const isFilm = wanted.kind === 'film'
  const { export_id } = await begin(episode, isFilm ? { kind: 'manifest' } : (wanted as Wanted))
  if (isFilm) await v1('POST', `exports/${export_id}/generate-video`, {})
  return export_id
}

/** Makes the file of an export anew, of what there is now. */
export const again = (id: string): Promise<unknown> => v1('POST', `exports/${id}/finalize`, {})

export async function cancelExport(job: string): Promise<void> {
  await rows(db.from('jobs').update({ status: 'cancelled' }).eq('id', job))
}

export async function deleteExport(id: string): Promise<void> {
  await rows(db.from('exports').delete().eq('id', id))
}

/** The address of a file for an hour. */
export async function fileOf(one: Export): Promise<string> {
  const found = await v1<{ download_url?: string; video_url?: string }>('GET', `exports/${one.id}/${one.video ? 'video' : 'download'}`)
  return `${found.video_url ?? found.download_url}&download=`
}

export const share = (id: string): Promise<{ url: string }> => v1('POST', `exports/${id}/share`, {})
export const shared = (id: string): Promise<{ url: string }> => v1('GET', `exports/${id}/share`)
export const revoke = (id: string): Promise<void> => v1('DELETE', `exports/${id}/share`)
