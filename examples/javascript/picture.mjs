// Draws a picture and saves it: node picture.mjs "a cat on a beach, sunset" cat.png
import { writeFile } from 'node:fs/promises'
import { data, events, newAccount } from './account.mjs'

const [prompt = 'a robot waving in a forest, sunset', file = 'picture.png'] = process.argv.slice(2)
const { playhouse } = await newAccount()

const body = { job_type: 'sdxl_image_fast', prompt, seed: 7 }
const { jobId } = await data(playhouse.functions.invoke('queue-job', { body }))

// Events: `status`, `step` with a small preview, and `done` with the job and its pictures.
const headers = { Accept: 'text/event-stream' }
const progress = await data(playhouse.functions.invoke('job-progress', { body: { jobId }, headers }))
let done
for await (const event of events(progress)) {
  if (event.name === 'step') console.log(`step ${event.data.step} of ${event.data.steps}`)
  if (event.name === 'done') done = event.data
}
if (done.job.status !== 'completed') throw new Error(`the job is ${done.job.status}: ${done.job.error_message}`)

const path = done.assets[0].temp_storage_path
const picture = await data(playhouse.storage.from('workspace-temp').download(path))
await writeFile(file, Buffer.from(await picture.arrayBuffer()))
console.log(`${file}: ${prompt}`)
