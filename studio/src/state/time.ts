/** Times and sizes in words. */

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })
const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['minute', 60], ['hour', 3600], ['day', 86_400], ['week', 604_800], ['month', 2_629_800], ['year', 31_557_600],
]

export function ago(when: string | null | undefined): string {
  if (!when) return ''
  const seconds = (new Date(when).getTime() - Date.now()) / 1000
  let [unit, length] = STEPS[0]
  if (Math.abs(seconds) < 45) return relative.format(0, 'second')
  for (const [name, size] of STEPS) if (Math.abs(seconds) >= size) [unit, length] = [name, size]
  return relative.format(Math.round(seconds / length), unit)
}

export function exactly(when: string | null | undefined): string {
  return when ? new Date(when).toLocaleString() : ''
}

export function seconds(count: number): string {
  if (count < 60) return `${Math.max(1, Math.round(count))} s`
  return `${Math.floor(count / 60)} min ${Math.round(count % 60)} s`
}

export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000
    unit++
  }
  return `${bytes < 10 && unit > 0 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`
}
