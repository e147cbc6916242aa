/** What went wrong, for people: what happened, what it means for their work, what to do. */
import { words } from '../words'
import { Refused } from './client'

export interface Explained {
  what: string
  todo: string
  code: string
}

export function explain(error: unknown): Explained {
  const texts = words.errors
  if (error instanceof Refused) {
    const code = error.status ? `${error.status} ${error.code}` : error.code
    if (error.code === 'NETWORK') return { ...texts.offline, code: error.message }
    if (error.code === 'MODEL_LOADING') return { ...texts.loading, code }
    if (error.code === 'CONTENT_REFUSED') return { what: error.message, todo: texts.content.todo, code }
    if (error.status === 401) return { ...texts.session, code }
    if (error.status === 402) return { what: error.message, todo: texts.credits.todo, code }
    if (error.status === 429) return { what: texts.busy.what, todo: texts.busy.todo, code }
    if (error.status >= 500) return { what: error.message || texts.server.what, todo: texts.server.todo, code }
    return { what: error.message, todo: '', code }
  }
  if (error instanceof TypeError) return { ...texts.offline, code: String(error) }
  return { what: String((error as any)?.message ?? error), todo: '', code: (error as any)?.code ?? '' }
}
