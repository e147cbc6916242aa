/** Storyboards: projects with scenes in an order, and the pictures that were drawn for them. */
import { account } from '../state/session.svelte'
import { call, db, rows } from './client'
import { ofLibrary, ofWorkspace, type Item } from './library'
import type { StoryboardProjects, StoryboardScenes, UserLibrary, WorkspaceAssets } from './tables'

export type Board = StoryboardProjects
export type Scene = Omit<StoryboardScenes, 'metadata'> & { metadata: SceneNotes | null }

/** What the page keeps with a scene. */
export interface SceneNotes {
  prompt?: string
  /** The drawings that were asked for it, the oldest first. */
  jobs?: string[]
  /** What came of drawings that the server brought here. */
  pictures?: { url: string; job_id: string; seed: number | null }[]
  /** The picture that was approved: a copy of it that stays, and where it came from. */
  approved?: { url: string; from: string }
  /** The approved picture, by its id in the library. */
  chosen?: string
}

/** The drawings of a scene, the oldest first. */
export function jobsOf(scene: Scene): string[] {
  const brought = (scene.metadata?.pictures ?? []).map((one) => one.job_id)
  return [...new Set([...(scene.metadata?.jobs ?? []), ...brought].filter(Boolean))]
}

export const PAGE = 40
/** Ids that one question names. */
const IDS_MAX = 80

export function boards(page: number): Promise<Board[]> {
  const query = db.from('storyboard_projects').select('*').eq('user_id', account.id)
  return rows(query.order('updated_at', { ascending: false }).order('id').range(page * PAGE, page * PAGE + PAGE - 1))
}

export function board(id: string): Promise<Board | null> {
  return rows(db.from('storyboard_projects').select('*').eq('id', id).maybeSingle())
}

export function makeBoard(title: string, description: string): Promise<Board> {
  const row = { user_id: account.id, title, description: description || null, content_mode: 'sfw', status: 'draft' }
  return rows(db.from('storyboard_projects').insert(row).select().single())
}

export function changeBoard(id: string, columns: Partial<Board>): Promise<Board> {
  return rows(db.from('storyboard_projects').update(columns).eq('id', id).select().single())
}

/** Deletes a storyboard with its scenes; pictures stay. */
export async function deleteBoard(id: string): Promise<void> {
  await rows(db.from('storyboard_projects').delete().eq('id', id))
}

export function scenes(boardId: string): Promise<Scene[]> {
  return rows(db.from('storyboard_scenes').select('*').eq('project_id', boardId).order('scene_order').order('created_at').limit(1000))
}

export function addScene(boardId: string, order: number, columns: Partial<Scene> = {}): Promise<Scene> {
  return rows(db.from('storyboard_scenes').insert({ ...columns, project_id: boardId, scene_order: order }).select().single())
}

export function changeScene(id: string, columns: Partial<Scene>): Promise<Scene> {
  return rows(db.from('storyboard_scenes').update(columns).eq('id', id).select().single())
}

export async function deleteScene(id: string): Promise<void> {
  await rows(db.from('storyboard_scenes').delete().eq('id', id))
}

/** Gives scenes the order of a list: one request, one commit, so that no reader sees half of it. */
export async function order(list: Scene[]): Promise<void> {
  const places = list.map((scene, at) => ({ id: scene.id, project_id: scene.project_id, scene_order: at + 1 }))
  await rows(db.from('storyboard_scenes').upsert(places, { onConflict: 'id' }))
}

/** Changes what is kept with a scene, read anew: the server writes there too when a drawing is done. */
export async function changeNotes(id: string, change: (notes: SceneNotes) => SceneNotes): Promise<Scene> {
  const { metadata } = await rows<{ metadata: SceneNotes | null }>(db.from('storyboard_scenes').select('metadata').eq('id', id).single())
  return changeScene(id, { metadata: change(metadata ?? {}) })
}

/** Queues a drawing of a scene, by its words and with its storyboard's character. */
export function drawScene(sceneId: string): Promise<{ jobId: string; warnings?: string[] }> {
  return call('draw-scene', { scene_id: sceneId })
}

/** Approves one of a scene's pictures, which is kept then; with none the approval is taken back. */
export async function approve(sceneId: string, picture: string | null): Promise<void> {
  await call('approve-scene-picture', { scene_id: sceneId, picture })
}

/** Has a story divided into scenes, behind those that are there; how many came. */
export async function plan(board: Board): Promise<{ warnings: string[] }> {
  const answer = await call('storyboard-ai-assist', { action: 'story_plan', projectId: board.id, title: board.title, description: board.description, apply: true })
  return { warnings: answer.warnings ?? [] }
}

/** A prompt with more in it, and why it is as it was, where it is. */
export async function enrich(prompt: string): Promise<{ prompt: string; warnings: string[] }> {
  const answer = await call('enhance-prompt', { prompt, job_type: 'sdxl_image_fast' })
  return { prompt: answer.enhanced_prompt ?? prompt, warnings: answer.warnings ?? [] }
}

/** What drawings came to, by job: those that wait to be kept, and those that were. */
export async function pictures(jobs: string[]): Promise<Record<string, Item[]>> {
  const found: Record<string, Item[]> = {}
  for (let at = 0; at < jobs.length; at += IDS_MAX) {
    const some = jobs.slice(at, at + IDS_MAX)
    const [fresh, kept] = await Promise.all([
      rows<WorkspaceAssets[]>(db.from('workspace_assets').select('*').eq('user_id', account.id).in('job_id', some)),
      rows<UserLibrary[]>(db.from('user_library').select('*').eq('user_id', account.id).in('generation_metadata->>job_id', some)),
    ])
    for (const item of [...kept.map(ofLibrary), ...fresh.map(ofWorkspace)]) if (item.jobId) (found[item.jobId] ??= []).push(item)
  }
  return found
}

/** Drawings among these that are under way, or that came to nothing, with why. */
export async function unfinished(jobs: string[]): Promise<Record<string, { status: string; error: string | null }>> {
  const found: Record<string, { status: string; error: string | null }> = {}
  for (let at = 0; at < jobs.length; at += IDS_MAX) {
    const query = db.from('jobs').select('id,status,error_message').in('id', jobs.slice(at, at + IDS_MAX)).neq('status', 'completed')
    for (const job of await rows<{ id: string; status: string; error_message: string | null }[]>(query)) found[job.id] = { status: job.status, error: job.error_message }
  }
  return found
}
