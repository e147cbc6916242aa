/** What an account does with all that is its own. */
import { call, headers, refusal } from './client'

/** Where the account is signed in. */
export interface SignedIn {
  id: string
  user_agent: string | null
  amr_method: string
  refreshed_at: string | null
  created_at: string
  is_current: boolean
}

export const sessions = async (): Promise<SignedIn[]> => (await call('sessions', { action: 'list' })).sessions
/** Signs out somewhere; what is left then. */
export const endSession = async (id: string): Promise<SignedIn[]> => (await call('sessions', { action: 'end', id })).sessions

/** Everything of one's own as a ZIP file. */
export async function exportMyData(): Promise<Blob> {
  const answer = await fetch('/functions/v1/export-my-data', { method: 'POST', headers: await headers() })
  if (!answer.ok) throw await refusal(answer)
  return answer.blob()
}

/** Deletes the account that is signed in, with everything that is its own. */
export async function deleteMyAccount(password: string): Promise<void> {
  const answer = await fetch('/auth/v1/user', {
    method: 'DELETE',
    headers: await headers({ 'Content-Type': 'application/json' }),
    body: JSON.stringify({ password }),
  })
  if (!answer.ok) throw await refusal(answer)
}
