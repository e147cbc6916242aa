/** The server's figures, as Prometheus reads them. */
import { headers, refusal } from './client'

interface Sample {
  labels: Record<string, string>
  value: number
}

export type Figures = Map<string, Sample[]>

/** Reads OpenMetrics' text. */
export function parse(text: string): Figures {
  const found: Figures = new Map()
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = line.match(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/) ?? []
    if (!name) continue
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text])
    found.set(name, [...(found.get(name) ?? []), { labels: Object.fromEntries(pairs), value: Number(value) }])
  }
  return found
}

export async function figures(): Promise<Figures> {
  const answer = await fetch('/metrics', { headers: await headers() })
  if (!answer.ok) throw await refusal(answer)
  return parse(await answer.text())
}

/** The sum of a figure over all that has these labels; null where the server does not tell it. */
export function sum(all: Figures, name: string, labels: Record<string, string> = {}): number | null {
  const samples = all.get(name)
  if (!samples) return null
  const fits = (sample: Sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
  return samples.filter(fits).reduce((total, sample) => total + sample.value, 0)
}
