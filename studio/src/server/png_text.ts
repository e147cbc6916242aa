/** Reads what programs write into PNG files: prompts and settings. */

/** The text chunks of a PNG by keyword; empty for other files. */
export async function texts(file: Blob): Promise<Record<string, string>> {
  const bytes = new Uint8Array(await file.arrayBuffer())
  const found: Record<string, string> = {}
  const signature = [137, 80, 78, 71, 13, 10, 26, 10]
  if (!signature.every((byte, at) => bytes[at] === byte)) return found
  const view = new DataView(bytes.buffer)
  const latin = new TextDecoder('latin1')
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at)
    const kind = latin.decode(bytes.subarray(at + 4, at + 8))
    const data = bytes.subarray(at + 8, at + 8 + length)
    const end = data.indexOf(0)
    if (kind === 'tEXt' && end > 0) found[latin.decode(data.subarray(0, end))] = latin.decode(data.subarray(end + 1))
    if (kind === 'iTXt' && end > 0 && data[end + 1] === 0) {
      const language = data.indexOf(0, end + 3)
      const translated = data.indexOf(0, language + 1)
      const text = new TextDecoder().decode(data.subarray(translated + 1))
      if (translated > 0) found[latin.decode(data.subarray(0, end))] = text
    }
    at += 12 + length
  }
  return found
}

/** Settings of a drawing, as far as a picture says. */
export interface DrawnWith {
  prompt?: string
  negative_prompt?: string
  steps?: number
  seed?: number
  guidance_scale?: number
  scheduler?: string
  width?: number
  height?: number
}

/** A1111's `parameters`, which most programs write, ours too; else a prompt of InvokeAI. */
export async function settingsOf(file: Blob): Promise<DrawnWith | null> {
  const found = await texts(file)
  if (found.parameters) return fromA1111(found.parameters)
  if (found.invokeai_metadata) return fromInvoke(JSON.parse(found.invokeai_metadata))
  return null
}

function fromA1111(text: string): DrawnWith {
  const lines = text.split('\n')
  const last = lines.findLastIndex((line) => /^Steps: /.test(line))
  const settings = last >= 0 ? lines.splice(last).join(' ') : ''
  const [prompt, negative] = lines.join('\n').split(/^Negative prompt: ?/m)
  const value = (name: string) => settings.match(new RegExp(`(?:^|, )${name}: ([^,]+)`))?.[1]
  const number = (name: string) => (value(name) === undefined ? undefined : Number(value(name)))
  const [width, height] = value('Size')?.split('x').map(Number) ?? []
  return {
    prompt: prompt.trim(), negative_prompt: negative?.trim(), steps: number('Steps'), seed: number('Seed'),
    guidance_scale: number('CFG scale'), width, height,
  }
}

function fromInvoke(data: any): DrawnWith {
  return {
    prompt: data.positive_prompt, negative_prompt: data.negative_prompt, steps: data.steps, seed: data.seed,
    guidance_scale: data.cfg_scale, width: data.width, height: data.height,
  }
}
