/** Graphs and pictures of webtoons: what is asked for, what came of it, and what is stale. */
import { account } from '../state/session.svelte'
import { db, rows } from './client'
import { v1 } from './webtoon'

/** A job of a graph or of an export. */
export interface GraphJob {
  id: string
  type: 'webtoon_story' | 'webtoon_planning' | 'webtoon_render' | 'webtoon_export'
  status: string
  error: string | null
  scene: string | null
  /** What is left to better, of a story whose plan was judged. */
  gate: { passed: boolean; reasons: string[] } | null
}

/** Jobs that one question brings. */
const JOBS_MAX = 100
/** Ids that one question names. */
const IDS_MAX = 80

const COLUMNS = 'id,job_type,status,error_message,created_at,scene:metadata->>scene_id,gate:metadata->result->gate'

/** Jobs of a story and of its scenes, the newest first. */
export async function storyJobs(story: string, scenes: string[]): Promise<GraphJob[]> {
  const mine = () => db.from('jobs').select(COLUMNS).eq('user_id', account.id).order('created_at', { ascending: false }).limit(JOBS_MAX)
  const asked: PromiseLike<any>[] = [mine().eq('job_type', 'webtoon_story').eq('metadata->>story_id', story)]
  for (let at = 0; at < scenes.length; at += IDS_MAX) {
    asked.push(mine().in('job_type', ['webtoon_planning', 'webtoon_render']).in('metadata->>scene_id', scenes.slice(at, at + IDS_MAX)))
  }
  const found = (await Promise.all(asked.map((one) => rows<any[]>(one)))).flat()
  found.sort((one, other) => (one.created_at < other.created_at ? 1 : -1))
  return found.map((row) => ({ id: row.id, type: row.job_type, status: row.status, error: row.error_message, scene: row.scene, gate: row.gate }))
}

export const cancelJob = (id: string): Promise<unknown> => v1('POST', `jobs/${id}/cancel`, {})

/** A rectangle as fractions of the page. */
export interface Rect {
  x: number
  y: number
  w: number
  h: number
}

/** A panel as it was drawn. */
export interface DrawnPanel {
  panel_index: number
  image_url: string
  prompt: string
  seed: number | null
  model: string | null
  rect: Rect
}

/** What was made of a scene: its type says what the payload is. */
export interface Artifact<Payload = any> {
  artifact_id: string
  scene_id: string
  type: string
  version: number
  parent_id: string | null
  payload: Payload
  created_at: string
}

/** The pictures of a scene: `image_url` is the whole page where `page` is there, else the first panel. */
export interface Render {
  image_url: string
  page?: unknown
  panels: DrawnPanel[]
  layout: Rect[]
  style_id: string
  approved: boolean
  reason: string | null
}

/** What a panel of a plan shows. */
export interface PlannedPanel {
  panel_index: number
  camera: string
  focus_on: string
  description: string
  characters: { name: string; expression?: string; action?: string; [more: string]: unknown }[]
  dialogue: { speaker: string; type: string; text: string }[]
  [more: string]: unknown
}

/** A panel that was drawn from what has been edited since. */
export interface Stale {
  scene_id: string
  panel_index: number
  reasons: string[]
}

/** Types of artifacts that make a plan. */
export const PLAN = ['scene_intent', 'panel_plan', 'panel_plan_normalized', 'layout_template', 'panel_semantics']
export const REASONS = ['bad_faces', 'bad_mood', 'bad_composition'] as const

export const plan = (scene: string, offline: boolean): Promise<{ job_id: string }> => v1('POST', `scenes/${scene}/plan_async`, { offline })
export const draw = (scene: string, offline: boolean): Promise<{ job_id: string }> => v1('POST', `scenes/${scene}/generate/render_async`, { offline, enforce_qc: false })
/** Draws the latest specification again with other seeds, or some panels of it alone; answers when it is drawn. */
export const regenerate = (scene: string, reason: string | null, panels?: number[]): Promise<unknown> => v1('POST', `scenes/${scene}/review/regenerate`, { reason, panels })
export const approve = (scene: string, artifact: string): Promise<Artifact<Render>> => v1('POST', `scenes/${scene}/review/approve`, { artifact_id: artifact })
export const stale = (story: string): Promise<Stale[]> => v1('GET', `stories/${story}/stale-panels`)
export const drawStale = (story: string, offline: boolean): Promise<{ panels: Stale[]; jobs: string[] }> => v1('POST', `stories/${story}/render-stale`, { offline })
export const artifacts = (scene: string): Promise<Artifact[]> => v1('GET', `scenes/${scene}/artifacts`)
export const lineage = (artifact: string): Promise<Artifact[]> => v1('GET', `artifacts/${artifact}/lineage`)

/** Writes a version of an artifact; its number is the server's. */
export async function writeArtifact(scene: string, type: string, payload: object): Promise<void> {
  await rows(db.from('artifacts').insert({ scene_id: scene, type, version: 1, payload }))
}

/** The pictures of scenes, by scene, the newest first. */
export async function renders(scenes: string[]): Promise<Record<string, Artifact<Render>[]>> {
  const found: Record<string, Artifact<Render>[]> = {}
  for (let at = 0; at < scenes.length; at += IDS_MAX) {
    const query = db.from('artifacts').select('artifact_id:id,scene_id,type,version,parent_id,payload,created_at').eq('type', 'render_result')
    for (const one of await rows<Artifact<Render>[]>(query.in('scene_id', scenes.slice(at, at + IDS_MAX)).order('version', { ascending: false }))) (found[one.scene_id] ??= []).push(one)
  }
  return found
}

/** Which parts of a plan scenes have, by scene. */
export async function planned(scenes: string[]): Promise<Record<string, Set<string>>> {
  const found: Record<string, Set<string>> = {}
  for (let at = 0; at < scenes.length; at += IDS_MAX) {
    const query = db.from('artifacts').select('scene_id,type').in('type', PLAN).in('scene_id', scenes.slice(at, at + IDS_MAX))
    for (const one of await rows<{ scene_id: string; type: string }[]>(query)) (found[one.scene_id] ??= new Set()).add(one.type)
  }
  return found
}

/** The pictures that are shown of a scene: the selected ones, else the newest that are approved, else the newest. */
export function shownRender(all: Artifact<Render>[] | undefined, selected: string | null): Artifact<Render> | undefined {
  return all?.find((one) => one.artifact_id === selected) ?? all?.find((one) => one.payload.approved) ?? all?.[0]
}
