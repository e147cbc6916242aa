/** Words that a person looks for, as a text search. */

/**
 * All of the words in any of their forms; the last one may be half typed. The server finds them by an index of words.
 * Empty where the text has no word.
 */
export function wordsOf(text: string): string {
  const words = text.match(/[\p{L}\p{N}]+/gu) ?? []
  return words.map((word, at) => (at < words.length - 1 ? word : `(${word} | ${word}:*)`)).join(' & ')
}

/** The condition that one of the columns together has the words, as PostgREST's `or` takes it. */
export function anyOf(columns: string[], text: string): string {
  return columns.map((column) => `${column}.fts."${wordsOf(text)}"`).join(',')
}
