// What tests of realtime do with a channel.

/** A promise that is settled from outside. */
export function later() {
  let settle
  const promise = new Promise((resolve, reject) => { settle = { resolve, reject } })
  return Object.assign(promise, settle)
}

/** Subscribes and waits until the server has said what it thinks of the bindings, if there are any. */
export async function subscribed(channel, { changes = true } = {}) {
  const joined = later()
  const told = later()
  channel.on('system', {}, (payload) => { if (payload.extension === 'postgres_changes') told.resolve(payload) })
  channel.subscribe((status, error) => {
    if (status === 'SUBSCRIBED') joined.resolve()
    else joined.reject(error ?? new Error(status))
  })
  await joined
  return changes ? told : null
}

/** The changes of a channel, to be waited for one by one. */
export function changes(channel, filter) {
  const waiting = []
  const came = []
  channel.on('postgres_changes', { schema: 'public', event: '*', ...filter }, (change) => {
    const next = waiting.shift()
    next ? next.resolve(change) : came.push(change)
  })
  return () => {
    if (came.length > 0) return Promise.resolve(came.shift())
    const next = later()
    waiting.push(next)
    return next
  }
}
