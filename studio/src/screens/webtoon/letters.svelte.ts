/** The bubbles of a scene while they are edited: every change can be undone, and is kept in this browser until it is saved. */
import { BUBBLES_MAX, letters, saveLetters, SIZE_MIN, suggestions, type Bubble, type Kind } from '../../server/webtoon_letters'
import type { Rect } from '../../server/webtoon_jobs'
import { draft, keepDraft } from '../../state/drafts'
import { attempt, notices } from '../../state/notices.svelte'
import { words } from '../../words'
import { texts } from './words'

const UNDO_MAX = 60
const DIGITS = 1e4
const within = (number: number, least: number, most: number) => Math.round(Math.min(most, Math.max(least, number)) * DIGITS) / DIGITS

interface Kept {
  bubbles: Bubble[]
  /** What the server had when this was begun. */
  base: string
}

export class Letters {
  bubbles = $state<Bubble[]>([])
  chosen = $state('')
  isReady = $state(false)
  failure = $state<unknown>(null)
  busy = $state(false)
  /** Text that does not fit at a size that can be read: the server draws the bubble larger. */
  tight = $state<Record<string, boolean>>({})
  private dialogue: string | null = null
  private saved = $state('[]')
  private past = $state.raw<string[]>([])
  rects: Rect[] = []

  constructor(readonly scene: string) {}

  get now(): string {
    return JSON.stringify(this.bubbles)
  }
  get isEdited(): boolean {
    return this.isReady && this.now !== this.saved
  }
  get canUndo(): boolean {
    return this.past.length > 0
  }
  get bubble(): Bubble | undefined {
    return this.bubbles.find((one) => one.bubble_id === this.chosen)
  }

  async open(): Promise<void> {
    this.failure = null
    try {
      const found = await letters(this.scene)
      this.dialogue = found?.dialogue_id ?? null
      this.bubbles = found?.bubbles ?? []
      this.saved = this.now
      const kept = draft<Kept | null>(`webtoon.letters.${this.scene}`, null)
      if (kept && JSON.stringify(kept.bubbles) !== this.saved) {
        this.bubbles = kept.bubbles
        notices.done(kept.base === this.saved ? texts.letters.kept : texts.letters.keptOver)
      }
      this.isReady = true
    } catch (error) {
      this.failure = error
    }
  }

  /** What is not saved stays in this browser. */
  keep(): void {
    if (!this.isReady) return
    keepDraft(`webtoon.letters.${this.scene}`, this.isEdited ? { bubbles: $state.snapshot(this.bubbles), base: this.saved } : null)
  }

  /** Notes what is there, before it changes. */
  mark(): void {
    if (this.past.at(-1) !== this.now) this.past = [...this.past.slice(1 - UNDO_MAX), this.now]
  }

  undo(): void {
    const before = this.past.at(-1)
    if (!before) return
    this.past = this.past.slice(0, -1)
    this.bubbles = JSON.parse(before)
  }

  change(id: string, columns: Partial<Bubble>): void {
    this.bubbles = this.bubbles.map((one) => (one.bubble_id === id ? this.settled({ ...one, ...columns }) : one))
  }

  /** Within the page, and of the panel that its middle lies in. */
  private settled(bubble: Bubble): Bubble {
    const size = { w: within(bubble.size.w, SIZE_MIN, 1), h: within(bubble.size.h, SIZE_MIN, 1) }
    const position = { x: within(bubble.position.x, 0, 1 - size.w), y: within(bubble.position.y, 0, 1 - size.h) }
    const tail = bubble.tail && { x: within(bubble.tail.x, 0, 1), y: within(bubble.tail.y, 0, 1) }
    const [x, y] = [position.x + size.w / 2, position.y + size.h / 2]
    const panel = this.rects.findIndex((rect) => x >= rect.x && x <= rect.x + rect.w && y >= rect.y && y <= rect.y + rect.h)
    return { ...bubble, size, position, tail, panel_id: panel >= 0 ? panel + 1 : bubble.panel_id }
  }

  /** Moves a bubble by fractions of the page; its tail stays where it points. */
  move(id: string, x: number, y: number): void {
    const bubble = this.bubbles.find((one) => one.bubble_id === id)
    if (bubble) this.change(id, { position: { x: bubble.position.x + x, y: bubble.position.y + y } })
  }

  resize(id: string, w: number, h: number): void {
    const bubble = this.bubbles.find((one) => one.bubble_id === id)
    if (bubble) this.change(id, { size: { w: Math.min(bubble.size.w + w, 1 - bubble.position.x), h: Math.min(bubble.size.h + h, 1 - bubble.position.y) } })
  }

  /** Adds a bubble where it is seen: in the middle of a panel. */
  add(kind: Kind, text: string): void {
    if (this.bubbles.length >= BUBBLES_MAX) return notices.failed(new Error(texts.letters.tooMany(BUBBLES_MAX)))
    this.mark()
    const rect = this.rects[(this.bubble?.panel_id ?? 1) - 1] ?? { x: 0, y: 0, w: 1, h: 1 }
    const size = { w: Math.min(0.4, rect.w * 0.9), h: kind === 'narration' ? 0.06 : 0.1 }
    const position = { x: rect.x + (rect.w - size.w) / 2, y: this.freeRow(rect, size) }
    const tail = kind === 'chat' || kind === 'thought' ? { x: rect.x + rect.w / 2, y: Math.min(rect.y + rect.h, position.y + size.h + 0.08) } : null
    const made = this.settled({ bubble_id: crypto.randomUUID(), panel_id: 1, bubble_type: kind, speaker: null, text, position, size, tail })
    this.bubbles = [...this.bubbles, made]
    this.chosen = made.bubble_id
  }

  /** The uppermost row of a panel where nothing is said yet. */
  private freeRow(rect: Rect, size: { h: number }): number {
    const taken = this.bubbles.filter((one) => one.position.x < rect.x + rect.w && one.position.x + one.size.w > rect.x)
    const isFree = (y: number) => taken.every((one) => y + size.h <= one.position.y || y >= one.position.y + one.size.h)
    for (let y = rect.y + 0.02; y + size.h <= rect.y + rect.h; y += 0.02) if (isFree(y)) return y
    return rect.y + 0.02
  }

  remove(id: string): void {
    this.mark()
    this.bubbles = this.bubbles.filter((one) => one.bubble_id !== id)
    this.chosen = ''
  }

  /** Puts a bubble above or below another: later ones are drawn over earlier ones. */
  raise(id: string, by: 1 | -1): void {
    const at = this.bubbles.findIndex((one) => one.bubble_id === id)
    const to = at + by
    if (to < 0 || to >= this.bubbles.length) return
    this.mark()
    const next = [...this.bubbles]
    next.splice(to, 0, ...next.splice(at, 1))
    this.bubbles = next
  }

  /** Takes what the script says, as far as it is not there yet. */
  async suggest(): Promise<void> {
    await attempt(async () => {
      const found = (await suggestions(this.scene)).filter((one) => !this.bubbles.some((known) => known.text === one.text && known.panel_id === one.panel_id))
      if (!found.length) return notices.done(texts.letters.noSuggestions)
      this.mark()
      this.bubbles = [...this.bubbles, ...found].slice(0, BUBBLES_MAX)
      notices.done(texts.letters.suggested(found.length))
    })
  }

  async save(): Promise<void> {
    this.busy = true
    await attempt(async () => {
      const made = await saveLetters(this.scene, this.dialogue, $state.snapshot(this.bubbles))
      this.dialogue = made.dialogue_id
      this.saved = this.now
      notices.done(words.saved)
    })
    this.busy = false
    this.keep()
  }
}
