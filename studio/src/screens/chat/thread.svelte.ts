/** One chat: what was said, what is being said, and what can be done about it. */
import { chat, messages, messagesFrom, MESSAGES, sayAs, scenes, inspect, type Chat, type Inspected } from '../../server/chats'
import { call, follow, Refused } from '../../server/client'
import type { CharacterScenes, Messages } from '../../server/tables'
import { draft } from '../../state/drafts'
import { attempt, notices } from '../../state/notices.svelte'
import { live, watch } from '../../state/live.svelte'
import { words } from '../../words'

/** How often streamed words are put on the page. */
const SHOW_EVERY_MS = 60

/** Pages of a thousand messages that are read back to one that was searched for. */
const REACH_PAGES = 10

interface Streaming {
  text: string
  replyId: string
  /** How many wait before it, while it waits. */
  position: number | null
  /** The message whose place it takes. */
  replaces: string | null
  broken: boolean
}

export class Thread {
  chat = $state<Chat | null>(null)
  missing = $state(false)
  failure = $state<unknown>(null)
  all = $state<Messages[]>([])
  more = $state(false)
  scenes = $state<CharacterScenes[]>([])
  streaming = $state<Streaming | null>(null)
  /** What is known of the last reply: its versions, and whether it was cut off. */
  last = $state<(Inspected & { id: string }) | null>(null)
  private stops: (() => void)[] = []
  private closed = false

  constructor(readonly id: string) {}

  async open(): Promise<void> {
    this.failure = null
    try {
      const [found, all, drawn] = await Promise.all([chat(this.id), messages(this.id), scenes(this.id)])
      if (this.closed) return
      this.missing = !found
      this.chat = found
      this.all = all
      this.more = all.length === MESSAGES
      this.scenes = drawn
      if (!found) return
      void this.look()
      const mine = `conversation_id=eq.${this.id}`
      this.stops.push(watch('messages', mine, () => !this.streaming && void this.refresh()))
      this.stops.push(watch('character_scenes', mine, () => void this.refreshScenes()))
      // A reply that another tab asked for, or this one before it was closed.
      void this.run('watch-reply', { conversation_id: this.id, stream: true }, null, true)
    } catch (error) {
      this.failure = error
    }
  }

  close(): void {
    this.closed = true
    for (const stop of this.stops) stop()
  }

  /** Reads again what was said last. */
  async refresh(): Promise<void> {
    try {
      const newest = await messages(this.id, undefined, Math.max(MESSAGES, Math.min(this.all.length, 500)))
      if (this.closed) return
      const earlier = newest.length ? this.all.filter((one) => one.created_at < newest[0].created_at) : []
      const kept = newest.length >= MESSAGES ? earlier : []
      const next = [...kept, ...newest]
      const same = next.length === this.all.length && next.every((one, at) => one.id === this.all[at].id && one.content === this.all[at].content)
      if (same) return
      this.all = next
      void this.look()
    } catch {
      // The frame says when the server is away; the next look brings it.
    }
  }

  async refreshScenes(): Promise<void> {
    try {
      const next = await scenes(this.id)
      const key = (list: CharacterScenes[]) => list.map((one) => `${one.id}${one.image_url}`).join()
      if (!this.closed && key(next) !== key(this.scenes)) this.scenes = next
    } catch {
      // As above.
    }
  }

  async earlier(): Promise<void> {
    const found = await attempt(() => messages(this.id, this.all[0]?.created_at))
    if (!found) return
    this.all = [...found, ...this.all]
    this.more = found.length === MESSAGES
  }

  /** Reads back to a message that was said at a time; whether it is there. */
  async reach(id: string, time: string): Promise<boolean> {
    if (this.all.some((one) => one.id === id)) return true
    const first = this.all[0]?.created_at
    if (!first || time >= first) return false
    const found = await attempt(async () => {
      const before = await messages(this.id, time)
      const known = new Set(this.all.map((one) => one.id))
      const between: Messages[] = []
      // Up to what is shown, so that no message seems to follow another that it does not follow.
      for (let from = time, pages = 0; pages < REACH_PAGES; pages++) {
        const next = (await messagesFrom(this.id, from)).filter((one) => !known.has(one.id))
        for (const one of next) known.add(one.id)
        between.push(...next)
        if (!next.length || next.at(-1)!.created_at >= first) return { before, between }
        from = next.at(-1)!.created_at
      }
      return null
    })
    if (this.closed || !found?.between.some((one) => one.id === id)) {
      if (found === null) notices.done(words.chat.tooFar)
      return false
    }
    this.all = [...found.before, ...found.between, ...this.all]
    this.more = found.before.length === MESSAGES
    return true
  }

  /** Asks for the versions of the last reply. */
  async look(): Promise<void> {
    const last = this.all.at(-1)
    if (last?.sender !== 'assistant') {
      this.last = null
      return
    }
    try {
      const found = await inspect(last.id)
      if (this.all.at(-1)?.id === last.id) this.last = { ...found, id: last.id }
    } catch {
      this.last = null
    }
  }

  private get model(): object {
    const chosen = draft(`model.${this.id}`, '')
    const heat = draft(`temperature.${this.id}`, '')
    return { ...(chosen ? { model_provider: chosen } : {}), ...(heat ? { temperature: Number(heat) } : {}) }
  }

  /** Says something; false where it did not reach the server. */
  async say(text: string): Promise<boolean> {
    const pending: Messages = {
      id: 'pending', conversation_id: this.id, sender: 'user', content: text, message_type: 'text', created_at: new Date().toISOString(),
    }
    this.all = [...this.all, pending]
    const body = { conversation_id: this.id, character_id: this.chat!.character_id, message: text, stream: true, ...this.model }
    const arrived = await this.run('roleplay-chat', body, null)
    if (!arrived) this.all = this.all.filter((one) => one.id !== 'pending')
    return arrived
  }

  /** Has the character go on after its last words. */
  async goOn(): Promise<void> {
    await this.run('roleplay-chat', { conversation_id: this.id, character_id: this.chat!.character_id, go_on: true, stream: true, ...this.model }, null)
  }

  /** Says something in the character's name; false where it did not reach the server. */
  async sayAs(text: string): Promise<boolean> {
    const said = await attempt(async () => { await sayAs(this.id, text); return true })
    await this.refresh()
    return !!said
  }

  /** Another version of a reply, or an answer to what has none. */
  regenerate(message: Messages): Promise<boolean> {
    const replaces = message.sender === 'assistant' ? message.id : null
    return this.run('regenerate-reply', { message_id: message.id, stream: true, ...this.model }, replaces)
  }

  async edit(message: Messages, content: string): Promise<void> {
    const at = this.all.findIndex((one) => one.id === message.id)
    const before = this.all
    if (message.sender === 'user') this.all = [...this.all.slice(0, at), { ...message, content }]
    const arrived = await this.run('edit-message', { message_id: message.id, content, stream: true }, null)
    if (!arrived) this.all = before
  }

  /** Goes to another version of the last reply; beyond the newest one, a new one is made. */
  async turn(step: number): Promise<void> {
    const versions = this.last?.alternatives ?? []
    const at = versions.findIndex((one) => one.active)
    const to = versions[at + step]
    if (to) {
      await attempt(() => call('choose-reply', { message_id: to.message_id }))
      await this.refresh()
    } else if (step > 0 && this.all.length > 1) {
      await this.regenerate(this.all.at(-1)!)
    }
  }

  async stop(): Promise<void> {
    await attempt(() => call('stop-reply', { conversation_id: this.id }))
  }

  /** Follows a reply to its end; whether the server took what was sent. */
  private async run(name: string, body: object, replaces: string | null, quiet = false): Promise<boolean> {
    if (this.streaming) return false
    let arrived = false
    let text = ''
    let timer: ReturnType<typeof setTimeout> | undefined
    const state: Streaming = { text: '', replyId: '', position: null, replaces, broken: false }
    if (!quiet) this.streaming = state
    const show = () => {
      timer = undefined
      if (this.streaming) this.streaming.text = text
    }
    try {
      for await (const { name: event, data } of this.events(name, body, () => (text = ''))) {
        if (this.closed) return true
        if (event === 'start') {
          arrived = true
          this.streaming ??= state
          this.streaming.replyId = data.reply_id ?? ''
          this.streaming.position = data.position ?? null
          this.streaming.broken = false
        } else if (event === 'queue') {
          if (this.streaming) this.streaming.position = data.position
        } else if (event === 'delta') {
          text += data.text
          if (this.streaming) this.streaming.position = null
          timer ??= setTimeout(show, SHOW_EVERY_MS)
        } else if (event === 'error') {
          arrived = true
          throw new Refused(502, data.error ?? '', data.code ?? 'REPLY', data)
        } else {
          arrived = true
          for (const warning of data?.warnings ?? []) notices.done(warning)
        }
      }
    } catch (error) {
      if (!quiet) notices.failed(error)
    } finally {
      clearTimeout(timer)
      if (arrived) await this.refresh()
      this.streaming = null
      void this.look()
    }
    return arrived
  }

  /** The events of a call; when the connection breaks, those of the reply that goes on at the server. */
  private async *events(name: string, body: object, again: () => void) {
    let replyId = ''
    let ended = false
    try {
      for await (const event of follow(name, body)) {
        if (event.name === 'start') replyId = event.data.reply_id ?? ''
        ended = ['done', 'error', 'whole'].includes(event.name)
        yield event
      }
    } catch (error) {
      if (error instanceof Refused || !replyId) throw error
    }
    while (!ended && replyId && !this.closed) {
      if (this.streaming) this.streaming.broken = true
      await new Promise((resolve) => setTimeout(resolve, live.state === 'away' ? 2000 : 800))
      try {
        again()
        for await (const event of follow('watch-reply', { reply_id: replyId, stream: true })) {
          ended = ['done', 'error', 'whole'].includes(event.name)
          yield event
        }
      } catch (error) {
        // A server that starts again first answers nothing at all.
        if (error instanceof Refused && error.status < 500) throw error
      }
    }
  }
}
