/** Clips of a storyboard's scenes, and the film that is made of them. */
import { call, db, rows } from './client'
import type { MotionPresets, StoryboardClips, StoryboardRenders } from './tables'

export type Clip = StoryboardClips
export type Render = StoryboardRenders
export const KINDS = ['quick', 'extended', 'controlled', 'long', 'keyframed'] as const
export type Kind = (typeof KINDS)[number]
/** How long a clip is, in seconds. */
export const CLIP_SECONDS = [1, 2, 3, 5, 10]
export const TRANSITIONS = ['cut', 'crossfade']

/** The clips of a storyboard, in order within each scene. */
export function clips(boardId: string): Promise<Clip[]> {
  const query = db.from('storyboard_clips').select('*,scene:storyboard_scenes!inner(project_id)').eq('scene.project_id', boardId)
  return rows(query.order('clip_order').order('created_at').limit(1000))
}

/** What is asked for; what is left out comes from the scene. */
export interface ClipOrder {
  clip_type?: Kind
  prompt?: string
  reference_image_url?: string
  end_frame_url?: string
  motion_preset_id?: string
  duration_seconds?: number
}

/** Queues a clip; its row is there at once. */
export async function makeClip(sceneId: string, order: ClipOrder): Promise<{ clip: Clip; warnings: string[]; reason: string | null }> {
  const answer = await call('make-clip', { scene_id: sceneId, ...order })
  return { clip: answer.clip, warnings: answer.warnings ?? [], reason: answer.recommended?.reason ?? null }
}

export async function deleteClip(id: string): Promise<void> {
  await rows(db.from('storyboard_clips').delete().eq('id', id))
}

/** Movements that a clip can follow. */
export function motions(): Promise<MotionPresets[]> {
  return rows(db.from('motion_presets').select('*').eq('is_active', true).order('name').limit(200))
}

/** The renders of a storyboard's film, the newest first. */
export function renders(boardId: string): Promise<Render[]> {
  return rows(db.from('storyboard_renders').select('*').eq('project_id', boardId).order('created_at', { ascending: false }).limit(20))
}

export async function makeFilm(boardId: string, transition: string): Promise<{ render: Render; warnings: string[] }> {
  const answer = await call('render-storyboard', { project_id: boardId, transition })
  return { render: answer.render, warnings: answer.warnings ?? [] }
}

/** Ends a render that is not done, and takes its row away. */
export async function cancelRender(id: string): Promise<void> {
  await rows(db.from('storyboard_renders').delete().eq('id', id))
}
