// From a request to a kept picture through supabase-js: queue, follow, download, keep, discard.
import assert from 'node:assert/strict'
import { check, client, data, environment, newUser, report } from './checks.mjs'

const given = environment()
const anna = await newUser(given, 'anna')
const ben = await newUser(given, 'ben')

const character = await data(
  anna.client.from('characters').insert({ user_id: anna.id, name: 'Mira', description: 'a painter' }).select().single())

/** Reads the server-sent events of a job until it ends. */
async function follow(user, jobId) {
  const { data: { session } } = await user.client.auth.getSession()
  const response = await fetch(`${given.url}/functions/v1/job-progress?job_id=${jobId}`, {
    headers: { Authorization: `Bearer ${session.access_token}`, apikey: given.anonKey },
  })
  assert.equal(response.headers.get('content-type'), 'text/event-stream')
  const events = []
  let text = ''
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    text += piece
    let end
    while ((end = text.indexOf('\n\n')) >= 0) {
      const lines = text.slice(0, end).split('\n')
      text = text.slice(end + 2)
      const name = lines.find((line) => line.startsWith('event: '))?.slice(7)
      const body = lines.find((line) => line.startsWith('data: '))?.slice(6)
      if (name) events.push({ name, data: JSON.parse(body) })
      if (name === 'done') return events
    }
  }
  return events
}

let job
let asset
await check('a job is queued and followed step by step', async () => {
  const body = {
    job_type: 'sdxl_image_fast', prompt: 'a red circle', steps: 20, seed: 11,
    metadata: { destination: 'character_portrait', character_id: character.id },
  }
  job = (await data(anna.client.functions.invoke('queue-job', { body }))).jobId
  const events = await follow(anna, job)
  const steps = events.filter((event) => event.name === 'step')
  assert.ok(steps.length >= 1, 'there are steps')
  assert.ok(steps.some((event) => event.data.preview?.startsWith('data:image/png;base64,')), 'with previews')
  const done = events.at(-1)
  assert.equal(done.data.job.status, 'completed')
  asset = done.data.assets[0]
  assert.equal(asset.job_id, job)
})

await check('nobody else follows it', async () => {
  const answer = await ben.client.functions.invoke('job-progress', { body: { job_id: job } })
  assert.equal(answer.error?.context?.status, 404)
})

await check('the portrait belongs to the character', async () => {
  const row = await data(anna.client.from('characters').select('image_url, reference_image_url, seed_locked').eq('id', character.id).single())
  assert.equal(row.image_url, `user-library/${anna.id}/${job}_${character.id}.png`)
  assert.equal(row.seed_locked, 11)
  const kept = await data(anna.client.from('user_library').select('*').eq('character_id', character.id).single())
  assert.deepEqual(kept.tags, ['character', 'portrait'])
})

await check('the picture is downloaded by a signed URL', async () => {
  const { signedUrl } = await data(anna.client.storage.from('workspace-temp').createSignedUrl(asset.temp_storage_path, 60))
  const bytes = new Uint8Array(await (await fetch(signedUrl)).arrayBuffer())
  assert.deepEqual([...bytes.slice(1, 4)], [...Buffer.from('PNG')])
})

await check('it is saved, and the rest discarded', async () => {
  const invoke = (body) => data(anna.client.functions.invoke('workspace-actions', { body }))
  const saved = await invoke({ action: 'save_to_library', assetId: asset.id, customTitle: 'Circle' })
  assert.equal(saved.success, true)
  const row = await data(anna.client.from('user_library').select('*').eq('id', saved.libraryAssetId).single())
  assert.equal(row.custom_title, 'Circle')
  assert.equal((await invoke({ action: 'discard_asset', assetId: asset.id })).success, true)
  const left = await data(anna.client.from('workspace_assets').select('id'))
  assert.deepEqual(left, [])
})

await check('one running job is cancelled while another goes on', async () => {
  const queue = async (steps) => (await data(anna.client.functions.invoke('queue-job', {
    body: { job_type: 'sdxl_image_fast', prompt: 'a blue square', steps },
  }))).jobId
  const long = await queue(200)
  const short = await queue(2)
  await new Promise((resolve) => setTimeout(resolve, 300))
  await data(anna.client.from('jobs').update({ status: 'cancelled' }).eq('id', long))
  const events = await follow(anna, short)
  assert.equal(events.at(-1).data.job.status, 'completed')
  const row = await data(anna.client.from('jobs').select('status').eq('id', long).single())
  assert.equal(row.status, 'cancelled')
})

await check('an unsigned callback is refused', async () => {
  const answer = await client(given).functions.invoke('job-callback', { body: { job_id: job, status: 'completed' } })
  assert.ok([401, 503].includes(answer.error?.context?.status))
})

report()
