/** Places that scenes share. */
import { db, rows } from './client'
import { v1 } from './webtoon'

export interface Place {
  environment_id: string
  description: string
  anchor_type: string
  reference_images: string[]
  locked_elements: string[]
  pinned: boolean
  usage_count: number
}

export const DESCRIPTION_CHARS_MAX = 4000

/** The account's places, those that are kept at the top first. */
export async function places(): Promise<Place[]> {
  const all = await v1<Place[]>('GET', 'environments')
  return all.sort((a, b) => Number(b.pinned) - Number(a.pinned))
}
export const addPlace = (description: string): Promise<Place> => v1('POST', 'environments', { description })
/** Pictures of a place count from then on; a list that is not empty takes the place of what was there. */
export const promote = (id: string, columns: { reference_images?: string[]; locked_elements?: string[] }): Promise<Place> => v1('POST', `environments/${id}/promote`, columns)
export const setPlace = (scene: string, environment_id: string | null): Promise<unknown> => v1('POST', `scenes/${scene}/set-environment`, { environment_id })

export async function changePlace(id: string, columns: { description?: string; pinned?: boolean }): Promise<void> {
  await rows(db.from('environment_anchors').update(columns).eq('id', id))
}

export async function deletePlace(id: string): Promise<void> {
  await rows(db.from('environment_anchors').delete().eq('id', id))
}
