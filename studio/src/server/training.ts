/** LoRAs of a character: training one on its pictures, following that, and what pictures are drawn with. */
import { account } from '../state/session.svelte'
import { call, db, rows } from './client'
import type { Jobs } from './tables'

/** A picture that is learned from; without a caption the character's tags are taken. */
export interface TrainingPicture {
  url: string
  caption: string
}

export interface TrainedLora {
  id: string
  name: string
  trigger_word: string
  base_model: string
  scale: number
  is_default: boolean
  loss_curve: number[]
  sample_urls: string[]
  created_at: string
}

export const PICTURES_MIN = 5
export const PICTURES_MAX = 40

/** Credits of a training at up to 512 pixels: five, and one for each fifty pictures that its steps go over. */
export const creditsOf = (steps: number, batch: number) => 5 + Math.ceil((steps * batch) / 50)

/** Pictures that are kept of a character, the newest first: portraits, references and anchors. */
export async function kept(character: string): Promise<string[]> {
  const of = (table: string) =>
    rows<{ image_url: string }[]>(db.from(table).select('image_url').eq('character_id', character).order('created_at', { ascending: false }).limit(PICTURES_MAX))
  const found = (await Promise.all(['character_portraits', 'character_reference_images', 'character_anchors'].map(of))).flat()
  return [...new Set(found.map((row) => row.image_url).filter(Boolean))]
}

export function train(character: string, pictures: TrainingPicture[], steps: number, batch: number): Promise<{ jobId: string; credits: number; warnings?: string[] }> {
  return call('train-lora', {
    character_id: character, steps, batch_size: batch,
    pictures: pictures.map(({ url, caption }) => ({ url, ...(caption.trim() ? { caption: caption.trim() } : {}) })),
  })
}

/** The latest training of a character, ended or not. */
export async function latest(character: string): Promise<Jobs | null> {
  const found = await rows<Jobs[]>(
    db.from('jobs').select('*').eq('user_id', account.id).eq('job_type', 'train_lora').contains('metadata', { character_id: character })
      .order('created_at', { ascending: false }).limit(1),
  )
  return found[0] ?? null
}

export function loras(character: string): Promise<TrainedLora[]> {
  return rows(
    db.from('character_loras').select('id,name,trigger_word,base_model,scale,is_default,loss_curve,sample_urls,created_at')
      .eq('character_id', character).order('created_at', { ascending: false }).limit(50),
  )
}

export async function changeLora(id: string, columns: Partial<Pick<TrainedLora, 'is_default' | 'scale'>>): Promise<void> {
  await rows(db.from('character_loras').update(columns).eq('id', id))
}

/** Deletes a LoRA with its file. */
export async function deleteLora(id: string): Promise<void> {
  await rows(db.from('character_loras').delete().eq('id', id))
}
