/** Cards on their way in, one after the other, with what became of each. */
import { importCard } from '../../server/characters'
import { explain } from '../../server/errors'
import { notices } from '../../state/notices.svelte'
import { words } from '../../words'

interface Outcome {
  id: number
  file: string
  error: string
}

class Importing {
  left = $state(0)
  report = $state<Outcome[]>([])
  last = ''

  get failed(): Outcome[] {
    return this.report.filter((one) => one.error)
  }

  async take(files: File[]): Promise<void> {
    this.report = []
    this.last = ''
    this.left = files.length
    for (const [id, file] of files.entries()) {
      let error = ''
      try {
        const { characterId, character } = await importCard(file)
        this.last = characterId
        notices.done(words.characters.imported(character.name))
      } catch (reason) {
        error = explain(reason).what
      }
      this.report = [...this.report, { id, file: file.name, error }]
      this.left--
    }
  }
}

export const importing = new Importing()
