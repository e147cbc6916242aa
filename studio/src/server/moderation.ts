/** Reports of pictures, and what administrators decide about them. */
import { call } from './client'

export interface Flagged {
  id: string
  status: 'flagged' | 'approved' | 'rejected'
  reason: string
  path: string
  url: string | null
  user_id: string | null
  reports: { user_id: string; character_id: string | null; reason: string; created_at: string }[]
  reviewed_at: string | null
  review_notes: string | null
  created_at: string
}

/** Reports the picture of a character; whether it is hidden now. */
export async function report(characterId: string, reason: string): Promise<boolean> {
  return (await call('report-picture', { character_id: characterId, reason })).held_back
}

export const PAGE = 30

export function queue(status: string, page: number): Promise<{ pictures: Flagged[]; more: boolean }> {
  return call('moderation-queue', { status, limit: PAGE, offset: page * PAGE })
}

export async function review(id: string, decision: 'approved' | 'rejected', notes: string): Promise<void> {
  await call('review-picture', { picture_id: id, decision, notes: notes.trim() || undefined })
}

/** The address of a picture here, whatever name the server goes by for others. */
export function here(url: string): string {
  const { pathname, search } = new URL(url, location.origin)
  return pathname + search
}
