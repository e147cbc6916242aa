/** Short messages at the edge of the page. */
import { explain } from '../server/errors'

export interface Notice {
  id: number
  kind: 'done' | 'failed'
  text: string
  todo: string
  code: string
  undo?: () => void
}

class Notices {
  all = $state<Notice[]>([])
  private next = 1

  private add(notice: Omit<Notice, 'id'>, seconds: number): void {
    const id = this.next++
    this.all = [...this.all.slice(-3), { ...notice, id }]
    setTimeout(() => this.close(id), seconds * 1000)
  }

  close(id: number): void {
    this.all = this.all.filter((notice) => notice.id !== id)
  }

  done(text: string, undo?: () => void): void {
    this.add({ kind: 'done', text, todo: '', code: '', undo }, undo ? 8 : 4)
  }

  failed(error: unknown): void {
    const { what, todo, code } = explain(error)
    this.add({ kind: 'failed', text: what, todo, code }, 15)
  }
}

export const notices = new Notices()

/** Runs what a button does; what goes wrong is said. */
export async function attempt<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    notices.failed(error)
    return undefined
  }
}
