/** What a person has typed and not sent, kept in this browser. */

const PREFIX = 'playhouse.draft.'

export function draft<T>(name: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(PREFIX + name)
    return text === null ? otherwise : JSON.parse(text)
  } catch {
    return otherwise
  }
}

export function keepDraft(name: string, value: unknown): void {
  try {
    if (value === '' || value === null || value === undefined) localStorage.removeItem(PREFIX + name)
    else localStorage.setItem(PREFIX + name, JSON.stringify(value))
  } catch {
    // A full or forbidden storage loses drafts with the tab, and nothing else.
  }
}
