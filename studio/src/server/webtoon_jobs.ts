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
