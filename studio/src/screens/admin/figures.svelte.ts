/** Figures of the server while they are looked at: one look every few seconds, and what changed since the one before. */
import { figures, sum, type Figures } from '../../server/figures'

/** Seconds between looks. */
export const EVERY_S = 3
/** Looks that are kept. */
const KEPT = 200

/** What is drawn, as one look has it; null where it is not known. */
const VALUES = {
  requests: (now: Figures, before: Figures | null, seconds: number) => rate(now, before, seconds, 'playhouse_http_request_seconds_count'),
  answering: (now: Figures) => sum(now, 'playhouse_http_requests_in_flight'),
  took: (now: Figures, before: Figures | null) => mean(now, before, 'playhouse_http_request_seconds'),
  waiting: (now: Figures) => sum(now, 'playhouse_jobs', { state: 'queued' }),
  running: (now: Figures) => sum(now, 'playhouse_jobs', { state: 'processing' }),
  steps: (now: Figures, before: Figures | null, seconds: number) => rate(now, before, seconds, 'playhouse_drawing_steps_total'),
  read: (now: Figures, before: Figures | null, seconds: number) => rate(now, before, seconds, 'playhouse_chat_tokens_total', { direction: 'prompt' }),
  written: (now: Figures, before: Figures | null, seconds: number) => rate(now, before, seconds, 'playhouse_chat_tokens_total', { direction: 'completion' }),
  commits: (now: Figures, before: Figures | null, seconds: number) => rate(now, before, seconds, 'playhouse_commits_total'),
  used: (now: Figures) => sum(now, 'playhouse_store_used_bytes'),
  live: (now: Figures) => sum(now, 'playhouse_store_live_bytes'),
  memory: (now: Figures) => sum(now, 'process_resident_memory_bytes'),
  sockets: (now: Figures) => sum(now, 'playhouse_budget_used', { budget: 'sockets' }),
  connections: (now: Figures) => sum(now, 'playhouse_connections'),
}

export type Drawn = keyof typeof VALUES

function rate(now: Figures, before: Figures | null, seconds: number, name: string, labels?: Record<string, string>): number | null {
  const [after, earlier] = [sum(now, name, labels), before && sum(before, name, labels)]
  if (after === null || earlier === null || seconds <= 0) return null
  // A server that was started anew begins at nothing.
  return Math.max(0, after - earlier) / seconds
}

function mean(now: Figures, before: Figures | null, name: string): number | null {
  const count = rate(now, before, 1, `${name}_count`)
  const time = rate(now, before, 1, `${name}_sum`)
  return count === null || time === null ? null : count ? (time / count) * 1000 : 0
}

class Looks {
  points = $state<Record<Drawn, (number | null)[]>>(empty())
  looks = $state(0)
  private before: Figures | null = null
  private at = 0

  /** Looks once; throws where the server does not answer. */
  async look(): Promise<void> {
    const now = await figures()
    const at = performance.now()
    for (const [name, value] of Object.entries(VALUES) as [Drawn, (typeof VALUES)[Drawn]][]) {
      this.points[name] = [...this.points[name].slice(-KEPT + 1), value(now, this.before, (at - this.at) / 1000)]
    }
    this.before = now
    this.at = at
    this.looks = this.points.memory.length
  }
}

function empty(): Record<Drawn, (number | null)[]> {
  return Object.fromEntries(Object.keys(VALUES).map((name) => [name, []])) as any
}

export const looks = new Looks()
