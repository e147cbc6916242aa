/** What the page asks about chats. */
import { account } from '../state/session.svelte'
import { call, db, headers, refusal, rows } from './client'
import { place, type Place } from './pictures'
import type { CharacterScenes, Conversations, Messages } from './tables'

export interface ChatEntry {
  id: string
  title: string
  updated_at: string
  character: { id: string; name: string; image_url: string | null; reference_image_url: string | null } | null
}

const ENTRY = 'id,title,updated_at,character:characters!character_id(id,name,image_url,reference_image_url)'
export const PAGE = 40
/** Messages that are asked for at one time. */
export const MESSAGES = 60

export function chats(search: string, page: number): Promise<ChatEntry[]> {
  let query = db.from('conversations').select(ENTRY).eq('user_id', account.id).not('character_id', 'is', null)
  if (search) query = query.ilike('title', `%${search.replace(/[\\%_]/g, '\\$&').replaceAll('*', '')}%`)
  return rows(query.order('updated_at', { ascending: false }).range(page * PAGE, page * PAGE + PAGE - 1))
}

/** Something said, with the chat it was said in. */
export interface Said {
  id: string
  content: string
  sender: string
  created_at: string
  conversation_id: string
  conversation: { title: string; character: { name: string } | null }
}

export const SAID = 20

/** A page of messages with these words in any of their forms, the newest first; chats of others are not among them. */
export function said(search: string, page: number): Promise<Said[]> {
  const query = db.from('messages')
    .select('id,content,sender,created_at,conversation_id,conversation:conversations!inner(title,character:characters!character_id(name))')
    .textSearch('content', search, { type: 'websearch' })
  return rows(query.order('created_at', { ascending: false }).range(page * SAID, page * SAID + SAID - 1))
}

/** The place in a text where one of the words of a search stands, with what is around it. */
export function around(text: string, search: string): string {
  const words = search.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
  const lower = text.toLowerCase()
  const places = words.map((word) => lower.indexOf(word.slice(0, Math.max(3, word.length - 3)))).filter((place) => place >= 0)
  const from = Math.max(0, Math.min(...(places.length ? places : [0])) - 40)
  return `${from ? '…' : ''}${text.slice(from, from + 160).trim()}${text.length > from + 160 ? '…' : ''}`
}

export type Chat = Conversations & { character: ChatEntry['character'] }

export function chat(id: string): Promise<Chat | null> {
  return rows(
    db.from('conversations').select('*,character:characters!character_id(id,name,image_url,reference_image_url)').eq('id', id).maybeSingle(),
  )
}

/** Messages from a time on, the oldest first: enough to see what was said around one that was found. */
export function messagesFrom(id: string, time: string): Promise<Messages[]> {
  return rows(db.from('messages').select('*').eq('conversation_id', id).gte('created_at', time).order('created_at').limit(1000))
}

/** Messages before a time, the newest last; without a time the newest of all. */
export async function messages(id: string, before?: string, count = MESSAGES): Promise<Messages[]> {
  let query = db.from('messages').select('*').eq('conversation_id', id)
  if (before) query = query.lt('created_at', before)
  const found = await rows<Messages[]>(query.order('created_at', { ascending: false }).limit(count))
  return found.reverse()
}

export function scenes(id: string): Promise<CharacterScenes[]> {
  return rows(db.from('character_scenes').select('*').eq('conversation_id', id).order('created_at').limit(500))
}

/** Opens a chat with a character: with its greeting where it has one. */
export async function openChat(characterId: string): Promise<string> {
  const character = await rows<{ name: string; first_message: string | null; alternate_greetings: string[] | null }>(
    db.from('characters').select('name,first_message,alternate_greetings').eq('id', characterId).single(),
  )
  const row = { user_id: account.id, character_id: characterId, title: character.name, conversation_type: 'character_roleplay' }
  const { id } = await rows<{ id: string }>(db.from('conversations').insert(row).select('id').single())
  const greets = character.first_message?.trim() || character.alternate_greetings?.some((greeting) => greeting?.trim())
  if (greets) await call('roleplay-chat', { conversation_id: id, character_id: characterId, greeting: 0 })
  return id
}

export function changeChat(id: string, columns: Partial<Conversations>): Promise<Conversations> {
  return rows(db.from('conversations').update(columns).eq('id', id).select().single())
}

export async function deleteChat(id: string): Promise<void> {
  await rows(db.from('conversations').delete().eq('id', id))
}

export interface Version {
  message_id: string
  content: string
  active: boolean
  created_at: string
}

export interface Inspected {
  state: string | null
  alternatives: Version[]
  prompt: any
  usage: any
  model: string | null
  provider: string | null
  seed: number | null
}

/** Microseconds since 1970: more than `Date` holds, and versions of one moment differ by no more. */
function micros(time: string): number {
  const fraction = time.match(/\.(\d+)/)?.[1] ?? ''
  return Math.floor(Date.parse(time) / 1000) * 1e6 + Number(fraction.padEnd(6, '0').slice(0, 6))
}

/** How a reply came about, with its versions in the order in which they were made. */
export async function inspect(messageId: string): Promise<Inspected> {
  const found = await call<Inspected>('inspect-reply', { message_id: messageId })
  found.alternatives.sort((a, b) => micros(a.created_at) - micros(b.created_at))
  return found
}

export interface Fact {
  id: string
  text: string
  /** `model` where no person pinned or worded it. */
  by?: string
}

/** What a chat model wrote of messages that no longer fit into a prompt. */
export interface Summary {
  id: string
  text: string
  message_ids: string[]
  created_at: string
}

/** What a chat remembers: facts, and summaries of what was said earlier. */
export async function memory(id: string): Promise<{ facts: Fact[]; summaries: Summary[] }> {
  const answer = await call('conversation-memory', { conversation_id: id })
  return { facts: answer.key_facts ?? [], summaries: answer.summaries ?? [] }
}

/** Pictures of one message, as many as the server shows to a model. */
export const PICTURES_MAX = 4

/** A picture of a message: where it lies, and what it is called. */
export interface Attached {
  path: string
  name: string
}

/** A message with its pictures, as it is kept: Markdown whose addresses are files of one's own. */
export const withPictures = (text: string, pictures: Attached[]): string =>
  [text, ...pictures.map((one) => `![${one.name.replace(/[[\]\n]/g, ' ').trim()}](${one.path})`)].filter(Boolean).join('\n\n')

/** The words and the pictures of a message apart. */
export function apart(content: string): { text: string; pictures: { at: Place; name: string }[] } {
  const pictures: { at: Place; name: string }[] = []
  const text = content.replace(/!\[([^[\]\n]*)\]\(([^\s():]+)\)/g, (whole, name: string, path: string) => {
    const at = place(path)
    if (!at) return whole
    pictures.push({ at, name })
    return ''
  })
  return { text: text.trim(), pictures }
}

/** Says something in the character's name; no model is asked. */
export async function sayAs(id: string, content: string): Promise<void> {
  await rows(db.from('messages').insert({ conversation_id: id, sender: 'assistant', content, message_type: 'text' }))
}

/** The chat in SillyTavern's form. */
export async function exportChat(id: string): Promise<Blob> {
  const answer = await fetch('/functions/v1/export-chat', {
    method: 'POST',
    headers: await headers({ 'Content-Type': 'application/json' }),
    body: JSON.stringify({ conversation_id: id }),
  })
  if (!answer.ok) throw await refusal(answer)
  return answer.blob()
}

/** Brings in a chat file of SillyTavern for a character; the chat's id. */
export async function importChat(characterId: string, file: File): Promise<string> {
  const answer = await fetch(`/functions/v1/import-chat?characterId=${characterId}`, {
    method: 'POST',
    headers: await headers({ 'Content-Type': 'application/octet-stream' }),
    body: file,
  })
  if (!answer.ok) throw await refusal(answer)
  return (await answer.json()).conversationId
}

/** Draws a scene of a chat; false where the picture cannot be kept with the chat and lands in the workspace alone. */
export async function drawMoment(chat: Chat, prompt: string): Promise<boolean> {
  let scene: string | undefined
  try {
    const row = { character_id: chat.character_id, conversation_id: chat.id, scene_prompt: prompt }
    scene = (await rows<{ id: string }>(db.from('character_scenes').insert(row).select('id').single())).id
  } catch (error: any) {
    // Another account's character: only its owner adds scenes to it.
    if (error.status !== 403 && error.status !== 401) throw error
  }
  const metadata = {
    character_id: chat.character_id, conversation_id: chat.id,
    ...(scene ? { destination: 'roleplay_scene', scene_id: scene } : {}),
  }
  try {
    const body = { job_type: 'sdxl_image_fast', prompt, character_id: chat.character_id, metadata }
    const { jobId } = await call('queue-job', body)
    if (scene) await rows(db.from('character_scenes').update({ job_id: jobId }).eq('id', scene))
  } catch (error) {
    if (scene) await db.from('character_scenes').delete().eq('id', scene)
    throw error
  }
  return !!scene
}

/** The names of models of a kind, as `/v1` lists them. */
export async function modelNames(kind: 'chat' | 'image' | 'lora'): Promise<string[]> {
  const answer = await fetch(`/v1/models?kind=${kind}`, { headers: await headers() })
  if (!answer.ok) throw await refusal(answer)
  const { data } = await answer.json()
  return data.filter((one: any) => !one.id.startsWith('character:')).map((one: any) => one.id)
}
