/** How a picture was made, as far as its file says, and what the form of the draw screen takes of it. */
import { modelNames } from './chats'
import { headers, refusal, Refused } from './client'
import { askBaseNegative, formOf, type DrawForm } from './jobs'

interface PictureInfo {
  format: 'playhouse' | 'a1111' | 'comfyui' | 'invokeai' | null
  /** By the names of `queue-job`. */
  settings: Record<string, any>
  /** Under the names of the program that wrote the file. */
  unused: Record<string, string>
}

/** What was taken over from a file, and what was not. */
export interface TakenOver {
  file: string
  format: string
  form: Partial<DrawForm>
  left: [string, string][]
}

/** Reads the texts of a PNG; null of another file. */
async function info(file: File): Promise<PictureInfo | null> {
  const answer = await fetch('/functions/v1/png-info', {
    method: 'POST',
    headers: await headers({ 'Content-Type': 'application/octet-stream' }),
    body: file,
  })
  if (answer.ok) return answer.json()
  const refused = await refusal(answer)
  if (refused instanceof Refused && refused.code === 'NO_PNG') return null
  throw refused
}

/** The settings that a file tells; null where it tells none. */
export async function takeOver(file: File): Promise<TakenOver | null> {
  const [found, models, loras] = await Promise.all([info(file), modelNames('image'), modelNames('lora'), askBaseNegative()])
  const { prompt, seed, model, ...settings } = found?.settings ?? {}
  if (!found?.format || !prompt) return null
  const left: [string, string][] = []
  const isHere = !model || models.includes(model)
  if (!isHere) left.push(['model', model])
  const missing = (settings.loras ?? []).filter((lora: any) => !loras.includes(lora.name))
  for (const lora of missing) left.push(['LoRA', `${lora.name}: ${lora.scale}`])
  settings.loras = (settings.loras ?? []).filter((lora: any) => !missing.includes(lora))
  const form = formOf(settings, prompt, seed ?? null, isHere ? (model ?? '') : '')
  const syntax = settings.prompt_syntax ?? 'plain'
  form.prompt_syntax = syntax === 'a1111_native' ? 'a1111' : syntax
  left.push(...Object.entries(found.unused))
  return { file: file.name, format: found.format, form, left }
}
