// Counts what holds and what does not; one failed check does not stop the others.
import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'
import WebSocket from 'ws'

const MS_MAX = 60_000
const counts = { passed: 0, failed: 0 }

/** Runs one named check; a check that throws or hangs has failed. */
export async function check(name, run) {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no answer in ${MS_MAX} ms`)), MS_MAX) })
  try {
    await Promise.race([run(), late])
    counts.passed += 1
  } catch (error) {
    counts.failed += 1
    console.log(`FAILED ${name}\n       ${String(error.message ?? error).split('\n').slice(0, 12).join('\n       ')}`)
  } finally {
    clearTimeout(timer)
  }
}

/** The data of an answer that must have no error. */
export async function data(answer) {
  const { data, error } = await answer
  if (error) throw new Error(`unexpected error ${JSON.stringify({ ...error, message: error.message })}`)
  return data
}

/** Runs a group of checks; what it needs before its checks counts as one. */
export async function section(run, ...given) {
  try {
    await run(...given)
  } catch (error) {
    counts.failed += 1
    console.log(`FAILED to set up ${run.name}\n       ${error.stack ?? error}`)
  }
}

/** Asserts that an answer is an error with this code (or one of these), and this status if given; returns the error. */
export async function refused(answer, code, status) {
  const { data, error, status: answered } = await answer
  assert.ok(error, `expected error ${code}, got ${JSON.stringify(data)}`)
  const found = JSON.stringify({ ...error, message: error.message })
  assert.ok([code].flat().includes(error.code), `expected ${code}, got ${found}`)
  if (status !== undefined) assert.equal(answered ?? error.status, status, `status of ${found}`)
  return error
}

/** A client that keeps its session to itself. */
export function client(environment, key = environment.anonKey) {
  const auth = { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false }
  return createClient(environment.url, key, { auth, realtime: { transport: WebSocket } })
}

/** A signed-up user with a client of its own. */
export async function newUser(environment, name) {
  const email = `${name}-${crypto.randomUUID()}@example.com`
  const password = 'correct horse'
  const own = client(environment)
  const { user, session } = await data(own.auth.signUp({ email, password }))
  assert.ok(session, 'sign-up gives a session')
  return { id: user.id, email, password, client: own }
}

/** Where the server is and the keys to it. */
export function environment() {
  const value = (name) => {
    if (!process.env[name]) {
      console.error(`${name} is not set`)
      process.exit(2)
    }
    return process.env[name]
  }
  return {
    url: value('PLAYHOUSE_URL').replace(/\/$/, ''),
    anonKey: value('PLAYHOUSE_ANON_KEY'),
    serviceKey: value('PLAYHOUSE_SERVICE_KEY'),
  }
}

/** Prints the count and ends the process with what it means. */
export function report() {
  console.log(`${counts.passed} passed, ${counts.failed} failed`)
  process.exit(counts.failed === 0 ? 0 : 1)
}

/** Asserts that the values of one key are these, in this order. */
export function column(rows, key, expected) {
  assert.deepEqual(rows.map((row) => row[key]), expected)
}

export { assert }
