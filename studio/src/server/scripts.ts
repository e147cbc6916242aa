/** Books, their chapters, and the scripts that are made of them. */
import { account } from '../state/session.svelte'
import { call, db, rows } from './client'
import type { Books, Chapters, Scripts } from './tables'

export type Book = Books & { chapters?: { count: number }[] }
export type Chapter = Chapters
export type Script = Scripts
export type Status = 'draft' | 'evaluated' | 'approved' | 'rejected' | 'active'

export const PAGE = 40
/** The four marks of an evaluation. */
export const MARKS = ['coherence', 'storytelling', 'character_consistency', 'video_suitability']

/** Where a script may go from a state by a button; being judged is apart. The server decides all the same. */
export const NEXT: Record<Status, Status[]> = {
  draft: ['rejected'], evaluated: ['approved', 'rejected'], approved: ['active', 'rejected'], rejected: ['draft'], active: ['approved'],
}
/** States in which a script may be judged. */
export const JUDGED: Status[] = ['draft', 'evaluated']

export const status = (script: Script) => (script.status ?? 'draft') as Status

export function books(page: number): Promise<Book[]> {
  const query = db.from('books').select('*,chapters(count)').eq('user_id', account.id)
  return rows(query.order('updated_at', { ascending: false }).order('id').range(page * PAGE, page * PAGE + PAGE - 1))
}

export function book(id: string): Promise<Book | null> {
  return rows(db.from('books').select('*').eq('id', id).maybeSingle())
}

export function makeBook(title: string, description: string, kind: string): Promise<Book> {
  const row = { user_id: account.id, title, description: description || null, book_type: kind }
  return rows(db.from('books').insert(row).select().single())
}

export async function deleteBook(id: string): Promise<void> {
  await rows(db.from('books').delete().eq('id', id))
}

export function chapters(bookId: string): Promise<Pick<Chapter, 'id' | 'title' | 'chapter_number' | 'created_at'>[]> {
  return rows(db.from('chapters').select('id,title,chapter_number,created_at').eq('book_id', bookId).order('chapter_number').order('created_at').limit(1000))
}

export function chapter(id: string): Promise<Chapter | null> {
  return rows(db.from('chapters').select('*').eq('id', id).maybeSingle())
}

export function addChapter(bookId: string, title: string, content: string, number: number): Promise<Chapter> {
  return rows(db.from('chapters').insert({ book_id: bookId, title, content, chapter_number: number }).select().single())
}

export function changeChapter(id: string, columns: Partial<Chapter>): Promise<Chapter> {
  return rows(db.from('chapters').update(columns).eq('id', id).select().single())
}

export async function deleteChapter(id: string): Promise<void> {
  await rows(db.from('chapters').delete().eq('id', id))
}

/** The account's own scripts of a chapter, the newest first. */
export async function scriptsOf(chapterId: string): Promise<Script[]> {
  return (await call('list-scripts', { chapter_id: chapterId })).scripts
}

export function script(id: string): Promise<Script | null> {
  return rows(db.from('scripts').select('*').eq('id', id).maybeSingle())
}

export interface Order {
  script_style: string
  video_style: string
  instructions: string
  character_ids: string[]
  evaluate: boolean
}

export async function generate(chapterId: string, order: Order): Promise<{ script: Script; warnings: string[]; problem: string | null }> {
  const answer = await call('generate-script', { chapter_id: chapterId, ...order })
  return { script: answer.script, warnings: answer.warnings ?? [], problem: answer.evaluation_error ?? null }
}

export function writeScript(chapterId: string, style: string, text: string): Promise<Script> {
  return rows(db.from('scripts').insert({ chapter_id: chapterId, user_id: account.id, script_style: style, script: text }).select().single())
}

/** Changes a script; of what is no draft another text makes a new version, which is what comes back then. */
export function changeScript(id: string, columns: Partial<Script>): Promise<Script> {
  return rows(db.from('scripts').update(columns).eq('id', id).select().single())
}

export async function evaluate(id: string): Promise<{ script: Script; warnings: string[] }> {
  const answer = await call('evaluate-script', { script_id: id })
  return { script: answer.script, warnings: answer.warnings ?? [] }
}

export function move(id: string, to: Status): Promise<{ script: Script; displaced: string[] | null }> {
  return call('script-transition', { script_id: id, status: to })
}

export async function deleteScript(id: string, force: boolean): Promise<void> {
  await call('delete-script', { script_id: id, force })
}

export interface Difference {
  added: number
  removed: number
  old: { script_name: string; version: number }
  lines: { change: 'same' | 'added' | 'removed'; text: string; old_line: number | null; new_line: number | null }[]
  fields: { field: string; old: any; new: any }[]
}

/** What differs from another version, or from the one before. */
export function compare(id: string, withId?: string): Promise<Difference> {
  return call('compare-scripts', { script_id: id, with_id: withId || undefined })
}
