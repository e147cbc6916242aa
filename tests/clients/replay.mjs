// Sends every recorded table, auth and storage call of the official clients to a live server, which must understand each: a
// right answer or the dialect's own refusal, never a 5xx, a hang or a parse error. Needs no packages.
// PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, PLAYHOUSE_SERVICE_KEY say where; exits non-zero unless every call is understood.
import { readFileSync } from 'node:fs'

const MS_MAX = 20_000
const SET_BY_FETCH = ['host', 'connection', 'content-length', 'accept-encoding', 'transfer-encoding', 'user-agent']
const UNTOUCHED = '11111111-1111-4111-8111-111111111111'

const url = setting('PLAYHOUSE_URL').replace(/\/$/, '')
const anonKey = setting('PLAYHOUSE_ANON_KEY')
const serviceKey = setting('PLAYHOUSE_SERVICE_KEY')

function setting(name) {
  if (!process.env[name]) {
    console.error(`${name} is not set`)
    process.exit(2)
  }
  return process.env[name]
}

function recorded(file) {
  const content = JSON.parse(readFileSync(new URL(`../fixtures/clients/${file}`, import.meta.url)))
  const records = Array.isArray(content) ? content : content.records
  return records.filter((record) => record.transport === 'http' && /^\/(rest|auth|storage)\/v1(\/|$)/.test(record.path))
}

/** Calls made with a key only. Of each, what the client did with the answer was recorded, not its headers. */
function recordedErrors() {
  const cases = JSON.parse(readFileSync(new URL('../fixtures/clients/captured_errors.json', import.meta.url)))
  const calls = Object.entries(cases).flatMap(([label, found]) => (found.req ?? []).map((request) => [label, request]))
  return calls
    .map(([label, [method, target]]) => ({ label, method, ...split(target), headers: { apikey: '<JWT>', authorization: 'Bearer <JWT>' } }))
    .filter((record) => /^\/(rest|auth|storage)\/v1\//.test(record.path))
}

function split(target) {
  const at = target.indexOf('?')
  return at < 0 ? { path: target, raw_query: '' } : { path: target.slice(0, at), raw_query: target.slice(at) }
}

/** A new account and its session. */
async function account() {
  const email = `replay-${crypto.randomUUID()}@example.com`
  const answer = await fetch(`${url}/auth/v1/signup`, {
    method: 'POST',
    headers: { apikey: anonKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'secret12' }),
    signal: AbortSignal.timeout(MS_MAX),
  })
  const session = await answer.json()
  if (!session.access_token) throw new Error(`sign-up failed: ${JSON.stringify(session)}`)
  return { email, id: session.user.id, accessToken: session.access_token, refreshToken: session.refresh_token }
}

/** The bearer that stands for a recorded `<JWT>`. */
function bearer(record, user) {
  if (record.path.startsWith('/storage/') || record.path.startsWith('/auth/v1/admin') || record.path === '/auth/v1/invite') return serviceKey
  const before = /^\/auth\/v1\/(signup|token|otp|verify|recover|resend)$/
  return before.test(record.path) ? anonKey : user.accessToken
}

async function send(record, user) {
  const headers = {}
  for (const [name, value] of Object.entries(record.headers)) {
    if (SET_BY_FETCH.includes(name)) continue
    const token = name === 'apikey' ? anonKey : bearer(record, user)
    headers[name] = value.replaceAll('<JWT>', token).replaceAll('<BASE>', url)
  }
  let body
  if (record.body !== null && record.body !== undefined) {
    const text = typeof record.body === 'string' ? record.body : JSON.stringify(record.body)
    // Each account is new, so that a recorded sign-up is no duplicate and a recorded deletion harms nobody else.
    body = text
      .replace(/"[abc]@example\.com"/, () => JSON.stringify(record.path.endsWith('/signup') ? `new-${user.email}` : user.email))
      .replace(/"rt0000000002"/, () => JSON.stringify(user.refreshToken))
  }
  const target = `${url}${record.path}${record.raw_query ?? ''}`.replace(UNTOUCHED, user.id)
  const signal = AbortSignal.timeout(MS_MAX)
  const answer = await fetch(target, { method: record.method, headers, body, redirect: 'manual', signal })
  return { status: answer.status, headers: answer.headers, text: await answer.text(), sent: headers }
}

/** What is wrong with an answer, or nothing. */
function fault(record, { status, headers, text, sent }) {
  if (status >= 500) return `status ${status}: ${text.slice(0, 200)}`
  if (status < 300 || record.method === 'HEAD') return undefined
  const redirects = status > 300 && status < 400 && headers.get('location')
  if (redirects) return undefined
  let body
  try {
    body = JSON.parse(text)
  } catch {
    return `status ${status} without JSON: ${text.slice(0, 200)}`
  }
  if (body === null || typeof body !== 'object' || Array.isArray(body)) return `status ${status} without an object: ${text.slice(0, 200)}`
  if (record.path.startsWith('/storage/')) return storageFault(status, body)
  return record.path.startsWith('/rest/') ? restFault(body) : authFault(body, headers, sent)
}

function storageFault(status, body) {
  const missing = ['statusCode', 'error', 'message', 'code'].filter((key) => typeof body[key] !== 'string')
  if (missing.length > 0) return `no ${missing.join(', ')} in ${JSON.stringify(body)}`
  // Recorded calls are well formed: a file may be missing or taken, but nothing is invalid.
  return ['InvalidRequest', 'InvalidKey', 'NoSuchRoute', 'NoSuchBucket'].includes(body.code) ? `status ${status}: ${JSON.stringify(body)}` : undefined
}

/** The buckets that recorded calls name; the calls also remove one. */
async function recordedBuckets() {
  for (const id of ['b', 'c']) {
    const headers = { apikey: anonKey, authorization: `Bearer ${serviceKey}`, 'content-type': 'application/json' }
    await (await fetch(`${url}/storage/v1/bucket`, { method: 'POST', headers, body: JSON.stringify({ id }) })).text()
  }
}

function restFault(body) {
  const missing = ['code', 'message', 'details', 'hint'].filter((key) => !(key in body))
  if (missing.length > 0) return `no ${missing.join(', ')} in ${JSON.stringify(body)}`
  if (typeof body.code !== 'string' || typeof body.message !== 'string') return `no code or message in ${JSON.stringify(body)}`
  // Every recorded query is valid grammar.
  return body.code === 'PGRST100' ? `refused as a syntax error: ${JSON.stringify(body)}` : undefined
}

function authFault(body, headers, sent) {
  if (sent['x-supabase-api-version']) {
    if (headers.get('x-supabase-api-version') !== sent['x-supabase-api-version']) return 'the API version is not echoed'
    return typeof body.code === 'string' && typeof body.message === 'string' ? undefined : `no code or message in ${JSON.stringify(body)}`
  }
  return typeof body.error_code === 'string' && typeof body.msg === 'string' ? undefined : `no error_code or msg in ${JSON.stringify(body)}`
}

const records = [...recorded('captured.json'), ...recorded('captured_py.json'), ...recordedErrors()]
const table = new Map()
const faults = []
const reader = await account()
for (const record of records) {
  let status = 'no answer'
  let found
  try {
    if (record.path.startsWith('/storage/') && record.label !== 'storage_createBucket') await recordedBuckets()
    // Auth calls end sessions and change accounts, so each has its own.
    const answer = await send(record, record.path.startsWith('/auth/') ? await account() : reader)
    status = String(answer.status)
    found = fault(record, answer)
  } catch (error) {
    found = error.name === 'TimeoutError' ? `no answer in ${MS_MAX} ms` : String(error.cause ?? error)
  }
  if (found) faults.push(`FAILED ${record.label}: ${record.method} ${record.path}${record.raw_query ?? ''}\n       ${found}`)
  const dialect = record.path.split('/')[1]
  const row = table.get(dialect) ?? table.set(dialect, new Map()).get(dialect)
  row.set(status, (row.get(status) ?? 0) + 1)
}
for (const line of faults) console.log(line)
for (const [dialect, row] of table) {
  const cells = [...row].sort().map(([status, count]) => `${status} × ${count}`)
  console.log(`${dialect.padEnd(5)} ${cells.join('   ')}`)
}
console.log(`${records.length - faults.length} passed, ${faults.length} failed`)
process.exit(faults.length === 0 && records.length > 0 ? 0 : 1)
