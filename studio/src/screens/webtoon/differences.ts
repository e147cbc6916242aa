/** What differs between two versions of an artifact. */

export interface Difference {
  /** The path of the member, such as `panels.2.camera`. */
  at: string
  before: string
  after: string
}

/** Differences that are listed at most. */
const MOST = 200
/** Characters of a value that are shown. */
const SHOWN_CHARS = 300

const isOpen = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null
const text = (value: unknown): string => (value === undefined ? '—' : typeof value === 'string' ? value : JSON.stringify(value)).slice(0, SHOWN_CHARS)

/** Members that differ, by their paths; who asked for a version is no difference. */
export function differences(before: unknown, after: unknown, path = ''): Difference[] {
  if (isOpen(before) && isOpen(after) && Array.isArray(before) === Array.isArray(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => path || name !== 'request_id')
    const found = names.flatMap((name) => differences(before[name], after[name], path ? `${path}.${Number.isInteger(+name) ? +name + 1 : name}` : name))
    return found.slice(0, MOST)
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ at: path, before: text(before), after: text(after) }]
}
