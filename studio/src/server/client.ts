/** The one client of the server that served this page, and calls of its functions. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js'

/** What the server says of itself to everybody. */
export interface Settings {
  anon_key: string
  sign_up: boolean
  password_chars_min: number
  first_start: boolean
  credits: boolean
  realtime: boolean
  /** Whether links are mailed; otherwise an administrator hands them out. */
  mail: boolean
  version: string
}

export let settings: Settings
export let db: SupabaseClient

/** Asks what a client needs to know; throws where the server does not answer. */
export async function connect(): Promise<void> {
  const answer = await fetch('/studio/config.json')
  if (!answer.ok) throw await refusal(answer)
  settings = await answer.json()
  db ??= createClient(location.origin, settings.anon_key, {
    auth: { detectSessionInUrl: false, storageKey: 'playhouse.session' },
  })
}

/** A request that the server declined. */
export class Refused extends Error {
  constructor(readonly status: number, message: string, readonly code: string, readonly body: any = null) {
    super(message)
  }
}

/** The refusal that an answer carries, in whichever dialect. */
export async function refusal(answer: Response): Promise<Refused> {
  const body = await answer.json().catch(() => null)
  const nested = body?.error && typeof body.error === 'object' ? body.error : body
  const text = nested?.message ?? nested?.error ?? nested?.msg ?? detail(nested?.detail) ?? answer.statusText
  const code = nested?.code ?? nested?.error_code ?? answer.status
  return new Refused(answer.status, String(text), String(code), body)
}

/** What the dialect of webtoons says: a sentence, or a list of fields with what is wrong with each. */
function detail(given: unknown): string | undefined {
  if (!Array.isArray(given)) return typeof given === 'string' ? given : undefined
  return given.map((one) => `${one.loc?.slice(1).join('.') || one.loc}: ${one.msg}`).join('; ')
}

/** The headers of a request in the name of the account that is signed in. */
export async function headers(more: Record<string, string> = {}): Promise<Record<string, string>> {
  const { data } = await db.auth.getSession()
  const token = data.session?.access_token ?? settings.anon_key
  return { apikey: settings.anon_key, Authorization: `Bearer ${token}`, ...more }
}

/** Calls a function. */
export async function call<T = any>(name: string, body: object | FormData = {}): Promise<T> {
  const { data, error } = await db.functions.invoke(name, { body: body as any })
  if (!error) return data as T
  if (error.context instanceof Response) throw await refusal(error.context)
  throw new Refused(0, error.message, 'NETWORK')
}

/** The rows of a query, or what went wrong. */
export async function rows<T = any>(
  query: PromiseLike<{ data: any; error: any; status: number; count?: number | null }>,
): Promise<T> {
  const { data, error, status } = await query
  if (error) throw new Refused(status, error.message, error.code || (status ? String(status) : 'NETWORK'), error)
  return data as T
}

/** An event of a function that streams. */
export interface ServerEvent {
  name: string
  data: any
}

/** The events of a function, as they come. A function that answers whole gives one event named `whole`. */
export async function* follow(name: string, body: object, signal?: AbortSignal): AsyncGenerator<ServerEvent> {
  const answer = await fetch(`/functions/v1/${name}`, {
    method: 'POST',
    headers: await headers({ 'Content-Type': 'application/json', Accept: 'text/event-stream' }),
    body: JSON.stringify(body),
    signal,
  })
  if (!answer.ok) throw await refusal(answer)
  if (!answer.headers.get('Content-Type')?.startsWith('text/event-stream')) {
    yield { name: 'whole', data: await answer.json() }
    return
  }
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop()!
      for (const block of blocks) {
        const event = block.match(/^event: ?(.*)$/m)?.[1]
        const data = block.match(/^data: ?(.*)$/m)?.[1]
        if (event && data) yield { name: event, data: JSON.parse(data) }
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}
