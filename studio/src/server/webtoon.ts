/** Webtoons: stories and their scenes, in the dialect of `/v1`. */
import { notices } from '../state/notices.svelte'
import { account } from '../state/session.svelte'
import { db, headers, refusal, rows } from './client'
import type { Stories } from './tables'

/** How far the making of a story has come. */
export interface Progress {
  current_node: string
  message: string
  step: number
  total_steps: number
}

export interface Story {
  story_id: string
  project_id: string
  title: string
  default_image_style: string | null
  generation_status: 'idle' | 'queued' | 'processing' | 'completed' | 'failed'
  generation_error: string | null
  progress: Progress | null
  updated_at: string
}

export interface Scene {
  scene_id: string
  story_id: string
  source_text: string
  scene_importance: string | null
  planning_locked: boolean
  image_style_override: string | null
  environment_id: string | null
  selected_render_artifact_id: string | null
  created_at: string
}

export interface Project {
  project_id: string
  name: string
}

export interface Estimate {
  recommended_scenes: number
  pacing: string
  complexity: string
  estimated_seconds: number
  status: 'ok' | 'too_short' | 'too_long'
}

export interface Style {
  name: string
  label: string | null
  description: string | null
}

/** What a text is to be made into. */
export interface Build {
  source_text: string
  max_scenes: number
  panel_count: number | null
  style_id: string | null
  story_style: string | null
  planning_mode: 'full' | 'characters_only'
  offline: boolean
  allow_append?: boolean
}

/** Stories of a page of the list. */
export const PAGE = 40
/** Characters of a story at most. */
export const TEXT_CHARS_MAX = 200_000
/** Scenes that one build makes at most. */
export const SCENES_MAX = 20

/** Calls `/v1`; what the server remarks is shown. */
export async function v1<T = any>(verb: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
  const answer = await fetch(`/v1/${path}`, {
    method: verb,
    headers: await headers(body ? { 'Content-Type': 'application/json' } : {}),
    body: body && JSON.stringify(body),
  })
  if (!answer.ok) throw await refusal(answer)
  if (answer.status === 204) return undefined as T
  const made = await answer.json()
  const listed = answer.headers.get('X-Warnings')
  for (const warning of made?.warnings ?? (listed ? [listed] : [])) notices.done(String(warning))
  return made as T
}

export type StoryRow = Pick<Stories, 'id' | 'title' | 'generation_status' | 'updated_at'> & { projects: { name: string | null; title: string | null } | null }

/** A page of the account's stories, those that changed last first. */
export function stories(page: number): Promise<StoryRow[]> {
  const query = db.from('stories').select('id,title,generation_status,updated_at,projects!inner(name,title,user_id)').eq('projects.user_id', account.id)
  return rows(query.order('updated_at', { ascending: false }).order('id').range(page * PAGE, page * PAGE + PAGE - 1))
}

export const story = (id: string): Promise<Story> => v1('GET', `stories/${id}`)
export const projects = (): Promise<Project[]> => v1('GET', 'projects')
export const makeProject = (name: string): Promise<Project> => v1('POST', 'projects', { name })
export const makeStory = (project: string, title: string, style: string): Promise<Story> =>
  v1('POST', `projects/${project}/stories`, { title, default_image_style: style })
export const estimate = (source_text: string): Promise<Estimate> => v1('POST', 'utils/estimate-scenes', { source_text })
export const styles = (): Promise<Style[]> => v1('GET', 'styles/image')
export const setStoryStyle = (id: string, style: string): Promise<Story> => v1('POST', `stories/${id}/set-style-defaults`, { default_image_style: style })

/** Begins to make scenes and characters of a text. */
export const build = (story: string, asked: Build): Promise<{ job_id: string }> => v1('POST', `stories/${story}/generate/blueprint_async`, asked)

export async function renameStory(id: string, title: string): Promise<void> {
  await rows(db.from('stories').update({ title }).eq('id', id))
}

/** Deletes a story with its scenes and episodes; characters stay with the project. */
export async function deleteStory(id: string): Promise<void> {
  await rows(db.from('stories').delete().eq('id', id))
}

export const scenes = (story: string): Promise<Scene[]> => v1('GET', `stories/${story}/scenes`)
export const addScene = (story: string, source_text: string): Promise<Scene> => v1('POST', `stories/${story}/scenes`, { source_text })
export const setSceneStyle = (id: string, style: string | null): Promise<Scene> => v1('POST', `scenes/${id}/set-style`, { image_style_override: style })
export const lockPlan = (id: string, locked: boolean): Promise<Scene> => v1('POST', `scenes/${id}/planning/lock`, { locked })

/** Writes columns of a scene. */
export async function changeScene(id: string, columns: Partial<Pick<Scene, 'source_text' | 'scene_importance' | 'selected_render_artifact_id'>>): Promise<void> {
  await rows(db.from('scenes').update(columns).eq('id', id))
}

export async function deleteScene(id: string): Promise<void> {
  await rows(db.from('scenes').delete().eq('id', id))
}
