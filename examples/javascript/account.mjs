// A client that is signed in to a new account.
import { createClient } from '@supabase/supabase-js'

// From version 22 on Node has a WebSocket of its own.
const transport = globalThis.WebSocket ?? (await import('ws')).default

/** The data of an answer; its error is thrown. */
export async function data(answer) {
  const { data, error } = await answer
  if (error) throw new Error((await error.context?.text?.()) ?? error.message)
  return data
}

export async function newAccount() {
  const { PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY } = process.env
  const playhouse = createClient(PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, { realtime: { transport } })
  const email = `${crypto.randomUUID()}@example.com`
  const { user } = await data(playhouse.auth.signUp({ email, password: 'correct horse' }))
  return { playhouse, user }
}

/** The events of a function that streams. */
export async function* events(response) {
  let rest = ''
  for await (const bytes of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + bytes).split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) {
      const name = block.match(/^event: (.*)$/m)?.[1]
      if (name) yield { name, data: JSON.parse(block.match(/^data: (.*)$/m)[1]) }
    }
  }
}
