/** Files of webtoons: a project as one file, and in again. */
import { account } from '../state/session.svelte'
import { db } from './client'
import { v1 } from './webtoon'

/** Takes in a file that another server wrote: it is put into one's own storage first. */
export async function takeIn(file: File): Promise<{ project_id: string; rows: number }> {
  const path = `${account.id}/${crypto.randomUUID()}.zip`
  const { error } = await db.storage.from('exports').upload(path, file, { contentType: 'application/zip' })
  if (error) throw error
  try {
    return await v1('POST', 'projects/import', { file: `exports/${path}` })
  } finally {
    // Taken in or declined, it is not needed again.
    void db.storage.from('exports').remove([path])
  }
}

/** Writes a project into one file; the address is good for an hour. */
export const bundle = (project: string): Promise<{ download_url: string; bytes: number }> => v1('POST', `projects/${project}/bundle`, {})

/** Hands what lies at an address of this server to the browser's downloads. */
export function download(address: string): void {
  const link = document.createElement('a')
  link.href = address
  link.download = ''
  link.click()
}
