/** What is said over the page of a scene: its bubbles, and what the script suggests. */
import { db, rows } from './client'
import { v1 } from './webtoon'

export type Kind = 'chat' | 'thought' | 'narration' | 'sfx'

export interface Point {
  x: number
  y: number
}

/** A bubble: places are fractions of the page. */
export interface Bubble {
  bubble_id: string
  panel_id: number
  bubble_type: Kind
  speaker: string | null
  text: string
  position: Point
  size: { w: number; h: number }
  tail: Point | null
}

export const KINDS: Kind[] = ['chat', 'thought', 'narration', 'sfx']
export const BUBBLES_MAX = 100
export const TEXT_CHARS_MAX = 2000
export const SIZE_MIN = 0.01

/** The dialogue layer of a scene; none where it has none yet. */
export async function letters(scene: string): Promise<{ dialogue_id: string; bubbles: Bubble[] } | undefined> {
  return (await rows<any[]>(db.from('dialogue_layers').select('dialogue_id:id,bubbles').eq('scene_id', scene).limit(1)))[0]
}

/** Writes all bubbles of a scene, in the order in which they are drawn. */
export const saveLetters = (scene: string, dialogue: string | null, bubbles: Bubble[]): Promise<{ dialogue_id: string; bubbles: Bubble[] }> =>
  dialogue ? v1('PUT', `dialogue/${dialogue}`, { bubbles }) : v1('POST', `scenes/${scene}/dialogue`, { bubbles })

/** Bubbles that hold what the script says. */
export async function suggestions(scene: string): Promise<Bubble[]> {
  const { bubbles } = await v1<{ bubbles: Omit<Bubble, 'bubble_id'>[] }>('GET', `scenes/${scene}/dialogue/suggestions`)
  return bubbles.map((bubble) => ({ ...bubble, bubble_id: crypto.randomUUID() }))
}
