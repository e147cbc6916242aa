/** Stored pictures as addresses that an `<img>` takes. */
import { headers, refusal } from './client'

/** Where a file lies. */
export interface Place {
  bucket: string
  path: string
}

const BUCKETS = ['avatars', 'reference_images', 'system_assets', 'user-library', 'videos', 'workspace-temp']

/** The place that a column names: `bucket/path`, or an address of this server's storage. */
export function place(text: string | null | undefined): Place | null {
  if (!text) return null
  const inStorage = text.match(/\/storage\/v1\/(?:object|render\/image)\/(?:public|sign|authenticated)\/([^/]+)\/([^?]+)/)
  if (inStorage) return { bucket: inStorage[1], path: decodeURIComponent(inStorage[2]) }
  const [bucket, ...path] = text.split('/')
  return BUCKETS.includes(bucket) && path.length > 0 ? { bucket, path: path.join('/') } : null
}

/** Pictures in memory at one time; the one that was asked for longest ago goes first. */
const KEPT_MAX = 400
const kept = new Map<string, Promise<string>>()

/** Thumbnails come in two sizes, so that a picture is made smaller twice at most, whatever shows it. */
export type Thumbnail = 'small' | 'large'
const WIDTHS: Record<Thumbnail, number> = { small: 160, large: 480 }

/** The picture as an object URL; with a size as a thumbnail of it. */
export function load({ bucket, path }: Place, size?: Thumbnail): Promise<string> {
  const key = `${bucket}/${path}@${size ?? ''}`
  const known = kept.get(key)
  if (known) {
    kept.delete(key)
    kept.set(key, known)
    return known
  }
  const loading = fetchPicture(bucket, path, size)
  kept.set(key, loading)
  loading.catch(() => kept.delete(key))
  if (kept.size > KEPT_MAX) {
    const [oldest, url] = kept.entries().next().value!
    kept.delete(oldest)
    url.then((url) => URL.revokeObjectURL(url)).catch(() => {})
  }
  return loading
}

async function fetchPicture(bucket: string, path: string, size?: Thumbnail): Promise<string> {
  return URL.createObjectURL(await bytes({ bucket, path }, size))
}

/** The file itself. */
export async function bytes({ bucket, path }: Place, size?: Thumbnail): Promise<Blob> {
  const name = `${bucket}/${path.split('/').map(encodeURIComponent).join('/')}`
  const address = size
    ? `/storage/v1/render/image/authenticated/${name}?width=${WIDTHS[size]}&resize=contain`
    : `/storage/v1/object/authenticated/${name}`
  const answer = await fetch(address, { headers: await headers() })
  if (!answer.ok) throw await refusal(answer)
  return answer.blob()
}

/** Hands a file to the browser's downloads. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
