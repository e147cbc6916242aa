// Runs the official JavaScript client's storage calls against a live server.
// PLAYHOUSE_URL, PLAYHOUSE_ANON_KEY, PLAYHOUSE_SERVICE_KEY say where; exits non-zero unless every check holds.
import { crc32, deflateSync } from 'node:zlib'
import { assert, check, client, column, data, environment, newUser, report } from './checks.mjs'

/** A grey PNG. */
function picture(width, height) {
  const chunk = (type, content) => {
    const body = Buffer.concat([Buffer.from(type), content])
    const out = Buffer.alloc(body.length + 8)
    out.writeUInt32BE(content.length, 0)
    body.copy(out, 4)
    out.writeUInt32BE(crc32(body), body.length + 4)
    return out
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 0, 0, 0, 0], 8)
  const rows = Buffer.alloc((width + 1) * height, 127)
  for (let row = 0; row < height; row += 1) rows[row * (width + 1)] = 0
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0)),
  ])
}

function sizeOf(png) {
  const bytes = Buffer.from(png)
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
}

/** Asserts that an answer is an error with this code and true status. */
async function declined(answer, code, statusCode) {
  const { data, error } = await answer
  assert.ok(error, `expected ${code}, got ${JSON.stringify(data)}`)
  assert.equal(error.code, code, JSON.stringify({ ...error, message: error.message }))
  assert.equal(error.statusCode, statusCode)
  return error
}

const at = environment()
const alice = await newUser(at, 'alice')
const bob = await newUser(at, 'bob')
const service = client(at, at.serviceKey).storage
const anonymous = client(at).storage
const own = alice.client.storage.from('user-library')
const path = (name) => `${alice.id}/${name}`
const png = picture(64, 32)
const text = async (answer) => (await data(answer)).text()

await check('buckets are made, listed, changed, emptied and deleted', async () => {
  const id = `made-${crypto.randomUUID()}`
  assert.equal((await data(service.createBucket(id, { public: false, fileSizeLimit: '1KB', allowedMimeTypes: ['text/*'] }))).name, id)
  await declined(service.createBucket(id), 'BucketAlreadyExists', '409')
  const bucket = await data(service.getBucket(id))
  assert.equal(bucket.file_size_limit, 1024)
  assert.deepEqual(bucket.allowed_mime_types, ['text/*'])
  assert.ok((await data(service.listBuckets())).some((other) => other.id === id))
  await data(service.updateBucket(id, { public: true }))
  assert.equal((await data(service.getBucket(id))).public, true)
  await data(service.from(id).upload('a/b.txt', 'hello', { contentType: 'text/plain' }))
  await declined(service.from(id).upload('big.txt', 'x'.repeat(2000), { contentType: 'text/plain' }), 'EntityTooLarge', '413')
  await declined(service.from(id).upload('a.png', png, { contentType: 'image/png' }), 'InvalidMimeType', '415')
  await declined(service.deleteBucket(id), 'BucketNotEmpty', '409')
  await data(service.emptyBucket(id))
  await data(service.deleteBucket(id))
  await declined(service.getBucket(id), 'NoSuchBucket', '404')
  await declined(alice.client.storage.createBucket(id), 'AccessDenied', '403')
})

await check('files go up as blob, buffer, stream and form, and come down', async () => {
  const up = await data(own.upload(path('f/a b.png'), new Blob([png], { type: 'image/png' }), { cacheControl: '60', metadata: { k: 'v' } }))
  assert.equal(up.path, path('f/a b.png'))
  assert.equal(up.fullPath, `user-library/${path('f/a b.png')}`)
  assert.ok(up.id)
  await data(own.upload(path('f/buffer.png'), png, { contentType: 'image/png', metadata: { n: 1 } }))
  const stream = new Response(png).body
  await data(own.upload(path('f/stream.png'), stream, { contentType: 'image/png', duplex: 'half' }))
  const form = new FormData()
  form.append('file', new Blob([png], { type: 'image/png' }), 'x.png')
  await data(own.upload(path('f/form.png'), form))
  for (const name of ['a b.png', 'buffer.png', 'stream.png', 'form.png']) {
    const blob = await data(own.download(path(`f/${name}`)))
    assert.equal(blob.type, 'image/png', name)
    assert.deepEqual(Buffer.from(await blob.arrayBuffer()), png, name)
  }
})

await check('a taken path is refused unless upsert says otherwise', async () => {
  const target = path('taken.png')
  await data(own.upload(target, 'one', { contentType: 'image/png' }))
  await declined(own.upload(target, 'two', { contentType: 'image/png' }), 'KeyAlreadyExists', '409')
  await data(own.upload(target, 'three', { contentType: 'image/png', upsert: true }))
  assert.equal(await text(own.download(target)), 'three')
  await data(own.update(target, 'four', { contentType: 'image/png' }))
  assert.equal(await text(own.download(target)), 'four')
})

await check('listings show one level, in order, by page', async () => {
  const shape = await data(own.list(path('f')))
  column(shape, 'name', ['a b.png', 'buffer.png', 'form.png', 'stream.png'])
  assert.equal(shape[0].metadata.size, png.length)
  assert.equal(shape[0].metadata.mimetype, 'image/png')
  assert.equal(shape[0].metadata.cacheControl, 'max-age=60')
  const top = await data(own.list(alice.id, { sortBy: { column: 'name', order: 'desc' } }))
  column(top, 'name', ['taken.png', 'f'])
  assert.equal(top[1].id, null)
  column(await data(own.list(path('f'), { limit: 2, offset: 1 })), 'name', ['buffer.png', 'form.png'])
  column(await data(own.list(path('f'), { search: 'form' })), 'name', ['form.png'])
  column(await data(own.list()), 'name', [alice.id])
  assert.deepEqual(await data(bob.client.storage.from('user-library').list(path('f'))), [])
  assert.deepEqual(await data(bob.client.storage.from('user-library').list()), [])
  const first = await data(own.listV2({ prefix: `${alice.id}/`, limit: 1, with_delimiter: true }))
  assert.equal(first.hasNext, true)
  column(first.folders, 'key', [path('f')])
  const second = await data(own.listV2({ prefix: `${alice.id}/`, limit: 5, with_delimiter: true, cursor: first.nextCursor }))
  column(second.objects, 'key', [path('taken.png')])
  assert.equal(second.hasNext, false)
})

await check('files are described, moved, copied and removed', async () => {
  const info = await data(own.info(path('f/a b.png')))
  assert.equal(info.size, png.length)
  assert.equal(info.contentType, 'image/png')
  assert.deepEqual(info.metadata, { k: 'v' })
  assert.equal((await own.exists(path('f/a b.png'))).data, true)
  assert.equal((await own.exists(path('nothing'))).data, false)
  await data(own.move(path('f/form.png'), path('g/moved.png')))
  assert.equal((await own.exists(path('f/form.png'))).data, false)
  assert.equal((await data(own.copy(path('g/moved.png'), path('g/copy.png')))).path, `user-library/${path('g/copy.png')}`)
  await declined(own.copy(path('g/moved.png'), path('taken.png')), 'KeyAlreadyExists', '409')
  await data(own.move(path('g/copy.png'), path('temp.png'), { destinationBucket: 'workspace-temp' }))
  assert.equal((await alice.client.storage.from('workspace-temp').exists(path('temp.png'))).data, true)
  await declined(own.move(path('taken.png'), `${bob.id}/stolen.png`), 'AccessDenied', '403')
  await declined(bob.client.storage.from('user-library').copy(path('taken.png'), `${bob.id}/x.png`), 'NoSuchKey', '404')
  const removed = await data(own.remove([path('g/moved.png'), path('nothing')]))
  column(removed, 'name', [path('g/moved.png')])
  assert.deepEqual(await data(bob.client.storage.from('user-library').remove([path('taken.png')])), [])
  assert.equal(await text(own.download(path('taken.png'))), 'four')
})

await check('signed URLs open one file to anybody', async () => {
  const { signedUrl } = await data(own.createSignedUrl(path('f/a b.png'), 60))
  assert.ok(signedUrl.includes('/storage/v1/object/sign/user-library/'), signedUrl)
  const answer = await fetch(signedUrl)
  assert.equal(answer.status, 200)
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), png)
  const named = await data(own.createSignedUrl(path('f/a b.png'), 60, { download: 'x.png' }))
  assert.ok((await fetch(named.signedUrl)).headers.get('content-disposition').startsWith('attachment; filename="x.png"'))
  const other = signedUrl.replace('a%20b.png', 'buffer.png')
  assert.equal((await fetch(other)).status, 400)
  const several = await data(own.createSignedUrls([path('f/buffer.png'), path('nothing')], 60))
  assert.equal((await fetch(several[0].signedUrl)).status, 200)
  assert.ok(several[1].error)
  await declined(bob.client.storage.from('user-library').createSignedUrl(path('f/a b.png'), 60), 'NoSuchKey', '404')
})

await check('a signed upload needs no session, once it is signed by the owner', async () => {
  const { token, signedUrl, path: target } = await data(own.createSignedUploadUrl(path('up/a.png')))
  assert.ok(signedUrl.includes('token='))
  await data(anonymous.from('user-library').uploadToSignedUrl(target, token, new Blob([png], { type: 'image/png' })))
  assert.equal((await own.exists(target)).data, true)
  await declined(anonymous.from('user-library').uploadToSignedUrl(path('up/b.png'), token, png, { contentType: 'image/png' }), 'InvalidSignature', '400')
  await declined(bob.client.storage.from('user-library').createSignedUploadUrl(path('up/c.png')), 'AccessDenied', '403')
})

await check('public buckets need no key, private ones refuse', async () => {
  const avatars = alice.client.storage.from('avatars')
  await data(avatars.upload(path('me.png'), png, { contentType: 'image/png' }))
  const open = avatars.getPublicUrl(path('me.png')).data.publicUrl
  assert.equal((await fetch(open)).status, 200)
  assert.equal((await fetch(own.getPublicUrl(path('taken.png')).data.publicUrl)).status, 400)
  await declined(bob.client.storage.from('avatars').upload(path('fake.png'), png, { contentType: 'image/png' }), 'AccessDenied', '403')
})

await check('pictures come in other sizes', async () => {
  const small = await data(own.download(path('f/a b.png'), { transform: { width: 16, height: 16, resize: 'contain' } }))
  assert.deepEqual(sizeOf(await small.arrayBuffer()), [16, 8])
  const { signedUrl } = await data(own.createSignedUrl(path('f/a b.png'), 60, { transform: { width: 8, height: 8 } }))
  assert.ok(signedUrl.includes('/render/image/sign/'), signedUrl)
  assert.deepEqual(sizeOf(await (await fetch(signedUrl)).arrayBuffer()), [8, 8])
  const shown = alice.client.storage.from('avatars').getPublicUrl(path('me.png'), { transform: { width: 10, height: 30, resize: 'fill' } })
  assert.deepEqual(sizeOf(await (await fetch(shown.data.publicUrl)).arrayBuffer()), [10, 30])
})

report()
