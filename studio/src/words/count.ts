/** A number with its noun: `1 file`, `2,000 files`. */
export const count = (number: number, one: string, many: string) => `${number.toLocaleString()} ${number === 1 ? one : many}`
