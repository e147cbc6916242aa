/**
 * Lists that several answers add to. A row may come with two of them: one that was made arrives with its own answer and with the
 * news of it, and a page by offset begins with rows of the page before once others were put in front. A keyed list holds each once.
 */

type Row = { id: string }

/** The rows of `later` that `earlier` does not have. */
export function unlisted<T extends Row>(earlier: T[], later: T[]): T[] {
  const known = new Set(earlier.map((row) => row.id))
  return later.filter((row) => !known.has(row.id))
}

/** What is shown, and then what a further answer adds to it. */
export function joined<T extends Row>(shown: T[] | null, more: T[]): T[] {
  return [...(shown ?? []), ...unlisted(shown ?? [], more)]
}

/** A first page that was read anew, and what was shown after its last row. */
export function renewed<T extends Row>(first: T[], shown: T[] | null): T[] {
  const last = shown?.findIndex((row) => row.id === first.at(-1)?.id) ?? -1
  return joined(first, last < 0 ? [] : shown!.slice(last + 1))
}
