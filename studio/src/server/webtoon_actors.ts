/** Actors: characters of a library, which any story may give a part. */
import { upload } from './library'
import { v1 } from './webtoon'
import type { Look, Member, Reference } from './webtoon_cast'

/** What an actor is drawn from. */
export interface ActorProfile {
  name: string
  description: string
  identity_line: string
  hair_description: string
  base_outfit: string
}

/** A sheet that was drawn, and is not saved yet. */
export interface Sheet {
  image_url: string
  job_id: string
  seed: number
  model: string
  prompt: string
}

export type Actor = Member & { references: Reference[]; variants: Look[] }

/** What is said of an actor; what is left empty is not said. */
const said = (profile: ActorProfile) => Object.fromEntries(Object.entries(profile).filter(([, text]) => text.trim()))

export const actors = (): Promise<Member[]> => v1('GET', 'casting/library')
export const actor = (id: string): Promise<Actor> => v1('GET', `casting/characters/${id}`)
/** Draws a sheet; answers when it is drawn. */
export const drawSheet = (profile: ActorProfile): Promise<Sheet> => v1('POST', 'casting/generate', said(profile))
export const saveActor = (profile: ActorProfile, image_url: string): Promise<Member> => v1('POST', 'casting/save', { ...said(profile), image_url })
/** Takes an actor out of the library; stories that gave it a part keep it. */
export const removeActor = (id: string): Promise<void> => v1('DELETE', `casting/characters/${id}`)
/** Draws another look; answers when it is drawn. */
export const drawLook = (id: string, prompt: string): Promise<Look> => v1('POST', `casting/characters/${id}/variants/generate`, { prompt, variant_name: prompt.slice(0, 60), override_attributes: { outfit: prompt } })
export const removeActorLook = (look: string): Promise<void> => v1('DELETE', `casting/variants/${look}`)

/** Makes an actor of one picture, which is a face. */
export async function importActor(profile: ActorProfile, file: File): Promise<Member> {
  const image_url = await upload(file, file.name.match(/\.(\w{1,8})$/)?.[1] ?? 'png')
  return v1('POST', 'casting/import', { ...said(profile), image_url })
}
