/** Clips of a storyboard's scenes: short videos that begin with the picture of a scene. */
import { call, db, rows } from './client'
import type { Item } from './library'
import type { StoryboardClips } from './tables'

export type Clip = Pick<StoryboardClips, 'id' | 'scene_id' | 'job_id' | 'prompt' | 'clip_order' | 'created_at'>

const CLIP = 'id,scene_id,job_id,prompt,clip_order,created_at'
/** How long a clip is, in seconds. */
export const CLIP_SECONDS = [1, 2, 3, 5]

/** The clips of a storyboard, the oldest first. */
export function clips(boardId: string): Promise<Clip[]> {
  const query = db.from('storyboard_clips').select(`${CLIP},scene:storyboard_scenes!inner(project_id)`).eq('scene.project_id', boardId)
  return rows(query.order('clip_order').order('created_at').limit(1000))
}

/** Queues a clip that begins with a picture, and ends with another where there is one. */
export async function drawClip(
  sceneId: string, prompt: string, begin: Item, end: Item | null, seconds: number, order: number, characterId: string | null,
): Promise<{ clip: Clip; warnings: string[] }> {
  const path = (item: Item) => `${item.at.bucket}/${item.at.path}`
  const metadata = { start_reference_url: path(begin), ...(end ? { end_reference_url: path(end) } : {}) }
  const { jobId, warnings } = await call('queue-job', { job_type: 'video_fast', prompt, duration_seconds: seconds, character_id: characterId ?? undefined, metadata })
  const row = {
    scene_id: sceneId, prompt, job_id: jobId, clip_order: order, duration_seconds: seconds, status: 'processing',
    reference_image_url: path(begin), reference_image_source: begin.kept ? 'library' : 'workspace',
  }
  return { clip: await rows<Clip>(db.from('storyboard_clips').insert(row).select(CLIP).single()), warnings: warnings ?? [] }
}

/** Takes a clip off its scene; its video stays where it was kept. */
export async function deleteClip(id: string): Promise<void> {
  await rows(db.from('storyboard_clips').delete().eq('id', id))
}
