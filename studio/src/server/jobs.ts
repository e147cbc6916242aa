/** Drawings: asking for one, following it, ending it. */
import { account } from '../state/session.svelte'
import { call, db, rows } from './client'
import type { Jobs } from './tables'

/** What the form of the draw screen holds; empty means: as the model likes it. */
export interface DrawForm {
  prompt: string
  negative_prompt: string
  model: string
  size: string
  steps: string
  guidance_scale: string
  scheduler: string
  seed: string
  locked: boolean
  count: number
  character_id: string
  reference: string
  strength: number
  /** Bright where the reference may change. */
  mask: string
  prompt_syntax: string
  loras: { name: string; scale: number }[]
  /** Layers of the text encoder that are left out. */
  clip_skip: string
  /** How many times as large a second pass draws it; how much it may change there, and in how many steps. */
  hires_scale: string
  hires_denoise_strength: string
  hires_steps: string
}

export const EMPTY: DrawForm = {
  prompt: '', negative_prompt: '', model: '', size: '', steps: '', guidance_scale: '', scheduler: '', seed: '', locked: false, count: 1,
  character_id: '', reference: '', strength: 0.5, mask: '', prompt_syntax: 'plain', loras: [], clip_skip: '', hires_scale: '', hires_denoise_strength: '', hires_steps: '',
}

export const SCHEDULERS = [
  'Euler', 'Euler a', 'Heun', 'DPM++ 2M', 'DPM++ 2M Karras', 'DPM++ 2M SDE', 'DPM++ 2M SDE Karras', 'DPM++ 3M', 'DDIM', 'PNDM', 'UniPC', 'UniPC Karras', 'LCM',
]
export const SIZES = ['64x64', '128x128', '256x256', '512x512', '512x768', '768x512', '768x768', '1024x1024', '832x1216', '1216x832']

const number = (text: string) => (String(text).trim() === '' ? undefined : Number(text))

/** Queues a drawing. */
export async function draw(form: DrawForm): Promise<{ jobId: string; warnings?: string[] }> {
  const [width, height] = form.size ? form.size.split('x').map(Number) : []
  return call('queue-job', {
    job_type: 'sdxl_image_fast', prompt: form.prompt.trim(), negative_prompt: form.negative_prompt.trim() || undefined, model: form.model || undefined,
    width, height, steps: number(form.steps), guidance_scale: number(form.guidance_scale), scheduler: form.scheduler || undefined,
    seed: form.locked ? number(form.seed) : undefined, image_count: form.count, character_id: form.character_id || undefined,
    reference_image_url: form.reference || undefined, reference_strength: form.reference ? form.strength : undefined,
    mask_image_url: (form.reference && form.mask) || undefined, prompt_syntax: form.prompt_syntax, loras: form.loras.length ? form.loras : undefined,
    clip_skip: number(form.clip_skip), hires_scale: number(form.hires_scale),
    ...(form.hires_scale ? { hires_denoise_strength: number(form.hires_denoise_strength), hires_steps: number(form.hires_steps) } : {}),
    // Words with a reference change it; without them it would be copied.
    ...(form.reference ? { metadata: { reference_mode: 'modify', skip_enhancement: true } } : {}),
  })
}

let base = ''

/** Asks what the server puts before every negative prompt, so that a form does not say it twice. */
export async function askBaseNegative(): Promise<void> {
  base ||= (await call('get-negative-prompt', {})).baseNegativePrompt ?? ''
}

/** A negative prompt without what the server adds by itself. */
function ownNegative(text: string): string {
  return base && text.startsWith(base) ? text.slice(base.length).replace(/^,\s*/, '') : text
}

/** The form that draws a picture again, from what is known of it. */
export function formOf(settings: Record<string, any>, prompt: string, seed: number | null, model: string): Partial<DrawForm> {
  const text = (...names: string[]) => {
    const found = names.map((name) => settings[name]).find((value) => value !== undefined && value !== null)
    return found === undefined ? '' : String(found)
  }
  const width = text('width')
  const height = text('height')
  return {
    prompt, negative_prompt: ownNegative(text('negative_prompt')), model: model === 'sdxl' ? '' : model, size: width && height ? `${width}x${height}` : '',
    steps: text('steps', 'num_inference_steps'), guidance_scale: text('guidance_scale'), scheduler: text('scheduler'), seed: seed === null ? '' : String(seed), locked: seed !== null,
    clip_skip: text('clip_skip').replace(/^0$/, ''), hires_scale: text('hires_scale'), hires_denoise_strength: text('hires_denoise_strength'), hires_steps: text('hires_steps'),
    loras: (Array.isArray(settings.loras) ? settings.loras : []).filter((lora: any) => lora?.name).map((lora: any) => ({ name: lora.name, scale: Number(lora.scale ?? 1) })),
  }
}

export const PAGE = 30

export function jobs(everybody: boolean, page: number): Promise<Jobs[]> {
  let query = db.from('jobs').select('*')
  if (!everybody) query = query.eq('user_id', account.id)
  return rows(query.order('created_at', { ascending: false }).order('id').range(page * PAGE, page * PAGE + PAGE - 1))
}

/** The first picture of each of these jobs, as far as it is still in the workspace. */
export async function firstPictures(ids: string[]): Promise<Record<string, string>> {
  if (!ids.length) return {}
  const found = await rows<{ job_id: string; thumbnail_path: string | null; temp_storage_path: string }[]>(
    db.from('workspace_assets').select('job_id,thumbnail_path,temp_storage_path').in('job_id', ids).eq('asset_index', 0),
  )
  return Object.fromEntries(found.map((row) => [row.job_id, row.thumbnail_path || row.temp_storage_path]))
}

/** Drawings of the account that wait or run, the oldest first. */
export function unfinished(): Promise<Jobs[]> {
  return rows(db.from('jobs').select('*').eq('user_id', account.id).in('status', ['queued', 'processing']).order('created_at').limit(50))
}

export async function cancel(id: string): Promise<void> {
  await rows(db.from('jobs').update({ status: 'cancelled' }).eq('id', id))
}
