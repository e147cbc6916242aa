/** Characters of a story: who they are, their looks and their reference pictures. */
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

export const cast = (story: string): Promise<Member[]> => v1('GET', `stories/${story}/characters`)
