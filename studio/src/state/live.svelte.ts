/** Rows that change while they are looked at: over the socket, or by asking again while there is none. */
import type { RealtimeChannel } from '@supabase/supabase-js'
import { db, settings } from '../server/client'

const ASK_EVERY_MS = 4000

class Live {
  /** `on`: the server says what changes; `asking`: we ask from time to time; `away`: it does not answer. */
  state = $state<'on' | 'asking' | 'away'>('on')
}

export const live = new Live()

let names = 0

/**
 * Calls `changed` when rows of a table change, until the returned function is called. `filter` is PostgREST's, such as
 * `user_id=eq.…`.
 */
export function watch(table: string, filter: string | undefined, changed: () => void): () => void {
  let channel: RealtimeChannel | undefined
  let isOn = false
  let isOver = false
  const say = () => {
    if (live.state !== 'away') live.state = isOn ? 'on' : 'asking'
  }
  if (settings.realtime) {
    channel = db
      .channel(`${table}-${names++}`)
      .on('postgres_changes', { event: '*', schema: 'public', table, filter } as any, changed)
      .subscribe((status) => {
        if (isOver) return
        const was = isOn
        isOn = status === 'SUBSCRIBED'
        say()
        // What happened while the socket was down is asked for once.
        if (isOn && !was) changed()
      })
  } else say()
  const timer = setInterval(() => {
    if (!isOn && !document.hidden) changed()
  }, ASK_EVERY_MS)
  return () => {
    isOver = true
    clearInterval(timer)
    if (channel) void db.removeChannel(channel)
  }
}

/** Looks whether the server is there, and says so; when it is back, `back` is called. */
export function watchServer(back: () => void): void {
  let failures = 0
  const look = async () => {
    try {
      await fetch('/auth/v1/health', { cache: 'no-store', signal: AbortSignal.timeout(5000) })
      if (live.state === 'away') {
        live.state = 'on'
        back()
      }
      failures = 0
    } catch {
      if (++failures >= 2) live.state = 'away'
    }
    setTimeout(look, live.state === 'away' || failures ? 1500 : 10_000)
  }
  setTimeout(look, 3000)
}
