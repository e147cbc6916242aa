/** What an account does with all that is its own. */
import { headers, refusal } from './client'

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
