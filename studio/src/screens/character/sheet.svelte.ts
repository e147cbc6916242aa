/** The character that is being edited: what the server has, what was changed, and the draft of it. */
import { changeCharacter, character } from '../../server/characters'
import type { Characters } from '../../server/tables'
import { draft, keepDraft } from '../../state/drafts'

export class Sheet {
  stored = $state<Characters | null>(null)
  changed = $state<Partial<Characters>>({})
  restored = $state(false)

  constructor(readonly id: string) {}

  async read(): Promise<void> {
    this.stored = await character(this.id)
    this.changed = draft<Partial<Characters>>(`character.${this.id}`, {})
    this.restored = this.dirty
  }

  get dirty(): boolean {
    return Object.keys(this.changed).length > 0
  }

  /** A column as it stands in the form. */
  get<K extends keyof Characters>(column: K): Characters[K] {
    return (column in this.changed ? this.changed[column] : this.stored![column]) as Characters[K]
  }

  set<K extends keyof Characters>(column: K, value: Characters[K]): void {
    const next = { ...this.changed, [column]: value }
    const before = this.stored![column] ?? ''
    if (JSON.stringify(value ?? '') === JSON.stringify(before)) delete next[column]
    this.changed = next
    keepDraft(`character.${this.id}`, this.dirty ? next : null)
  }

  async save(): Promise<void> {
    const sent = this.changed
    if (!Object.keys(sent).length) return
    this.stored = await changeCharacter(this.id, sent)
    this.discard()
  }

  discard(): void {
    this.changed = {}
    this.restored = false
    keepDraft(`character.${this.id}`, null)
  }

  /** What another part of the page changed, such as a new face, without touching what is being typed. */
  async refresh(): Promise<void> {
    this.stored = (await character(this.id)) ?? this.stored
  }
}
