/** Characters of a story: who they are, their looks and their reference pictures. */
import { account } from '../state/session.svelte'
import type { CharacterCard } from './characters'
import { db, Refused, rows } from './client'
import { place } from './pictures'
import { anyOf, wordsOf } from './search'
import { v1 } from './webtoon'

export interface Member {
  character_id: string
  project_id: string | null
  canonical_code: string | null
  name: string
  description: string | null
  role: string | null
  gender: string | null
  age_range: string | null
  hair_description: string | null
  base_outfit: string | null
  identity_line: string | null
  is_library_saved: boolean
  approved: boolean
}

/** A picture that shows how a character looks. */
export interface Reference {
  reference_image_id: string
  character_id: string
  image_url: string
  ref_type: string
  approved: boolean
  is_primary: boolean
}

/** A look of a character: the active one of a story is what its panels begin with. */
export interface Look {
  variant_id: string
  story_id: string | null
  variant_type: string
  variant_name: string | null
  override_attributes: { scene_ids?: string[] } | null
  reference_image_id: string | null
  is_default: boolean
  is_active_for_story: boolean
}

export const ROLES = ['main', 'protagonist', 'antagonist', 'secondary']
export const GENDERS = ['unspecified', 'female', 'male', 'non_binary']
export const AGES = ['child', 'teen', 'young_adult', 'adult', 'middle_aged', 'elderly']
/** Types of pictures that are drawn on request. */
export const DRAWN = ['face', 'full_body', 'profile_sheet']
export const DRAWN_MAX = 5
export const PAGE = 24

export type Profile = Partial<Pick<Member, 'name' | 'description' | 'role' | 'gender' | 'age_range' | 'hair_description' | 'base_outfit' | 'identity_line'>>

export const cast = (story: string): Promise<Member[]> => v1('GET', `stories/${story}/characters`)
export const addMember = (story: string, name: string, description: string): Promise<Member> => v1('POST', `stories/${story}/characters`, { name, description })
export const changeMember = (id: string, profile: Profile): Promise<Member> => v1('PATCH', `characters/${id}`, profile)
export const approveMember = (id: string): Promise<Member> => v1('POST', `characters/${id}/approve`, {})
export const saveForOthers = (id: string, saved: boolean): Promise<Member> => v1('POST', `characters/${id}/${saved ? 'save-to' : 'remove-from'}-library`, {})

/** Takes a character out of a story; it stays with the project. */
export async function takeOut(story: string, id: string): Promise<void> {
  await rows(db.from('story_characters').delete().eq('story_id', story).eq('character_id', id))
}

export const references = (id: string): Promise<Reference[]> => v1('GET', `characters/${id}/refs`)
export const addReference = (id: string, image_url: string, ref_type: string, approved: boolean): Promise<Reference> =>
  v1('POST', `characters/${id}/refs`, { image_url, ref_type, approved })
/** Draws pictures of a character's description; answers when they are drawn. */
export const drawReferences = (id: string, ref_type: string, count: number): Promise<Reference[]> =>
  v1('POST', `characters/${id}/generate-refs`, { ref_types: [ref_type], count, auto_approve: false })
export const approveReference = (id: string, reference: string): Promise<Reference> => v1('POST', `characters/${id}/approve-ref`, { reference_image_id: reference })
export const makePrimary = (id: string, reference: string): Promise<Reference> => v1('POST', `characters/${id}/set-primary-ref`, { reference_image_id: reference })
export const removeReference = (id: string, reference: string): Promise<void> => v1('DELETE', `characters/${id}/refs/${reference}`)

/** The faces of characters, by character: the primary one, else the newest that is approved. */
export async function faces(ids: string[]): Promise<Record<string, string>> {
  if (!ids.length) return {}
  const query = db.from('character_reference_images').select('character_id,image_url').in('character_id', ids).eq('approved', true)
  const found = await rows<{ character_id: string; image_url: string }[]>(query.order('is_primary').order('created_at'))
  return Object.fromEntries(found.map((one) => [one.character_id, one.image_url]))
}

export const looks = (id: string, story: string): Promise<Look[]> => v1('GET', `characters/${id}/variants?story_id=${story}`)
export const addLook = (id: string, story: string, look: { variant_name: string; reference_image_id: string | null; scene_ids: string[]; active: boolean }): Promise<Look> =>
  v1('POST', `characters/${id}/variants`, {
    story_id: story, variant_type: 'outfit', variant_name: look.variant_name, reference_image_id: look.reference_image_id,
    override_attributes: look.scene_ids.length ? { scene_ids: look.scene_ids } : {}, is_active_for_story: look.active,
  })
export const setActive = (look: string, active: boolean): Promise<Look> => v1('POST', `variants/${look}/${active ? 'activate' : 'deactivate'}`, {})
export const removeLook = (look: string): Promise<void> => v1('DELETE', `variants/${look}`)

export type Own = Pick<CharacterCard, 'id' | 'name' | 'description' | 'image_url' | 'reference_image_url'>

/** A page of one's own characters that belong to no project. */
export function ownCharacters(search: string, page: number): Promise<Own[]> {
  let query = db.from('characters').select('id,name,description,image_url,reference_image_url').eq('user_id', account.id).is('project_id', null)
  if (wordsOf(search)) query = query.or(anyOf(['name', 'tagline', 'description'], search))
  return rows(query.order('updated_at', { ascending: false }).order('id').range(page * PAGE, page * PAGE + PAGE - 1))
}

/** Gives one of one's own characters a part: its face becomes an approved reference picture where it has none. */
export async function castOwn(story: string, own: Own, lacksFace: string): Promise<void> {
  const known = await v1<Member>('GET', `characters/${own.id}`)
  if (!known.is_library_saved) {
    const has = (await references(own.id)).some((one) => one.approved)
    const face = place(own.reference_image_url) ?? place(own.image_url)
    if (!has && !face) throw new Refused(400, lacksFace, 'NO_FACE')
    if (!has && face) await addReference(own.id, `${face.bucket}/${face.path}`, 'face', true)
    await saveForOthers(own.id, true)
  }
  await v1('POST', `stories/${story}/characters/load-from-library`, { character_id: own.id })
}
