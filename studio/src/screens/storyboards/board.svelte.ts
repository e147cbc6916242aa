/** One storyboard: its scenes in order, and what was drawn for each. */
import { clips, drawClip, type Clip } from '../../server/clips'
import { type Item } from '../../server/library'
import {
  addScene, board, changeBoard, changeScene, deleteScene, drawScene, enrich, order, pictures, scenes, unfinished, type Board, type Scene,
} from '../../server/storyboards'
import { attempt, notices } from '../../state/notices.svelte'
import { words } from '../../words'

export class OpenBoard {
  board = $state<Board | null>(null)
  missing = $state(false)
  failure = $state<unknown>(null)
  scenes = $state<Scene[] | null>(null)
  clips = $state<Clip[]>([])
  /** Pictures by job. */
  drawn = $state<Record<string, Item[]>>({})
  /** Drawings that are not done, by job. */
  waiting = $state<Record<string, { status: string; error: string | null }>>({})

  constructor(readonly id: string) {}

  async open(): Promise<void> {
    this.failure = null
    try {
      const [found, all, videos] = await Promise.all([board(this.id), scenes(this.id), clips(this.id)])
      this.board = found
      this.clips = videos
      this.missing = !found
      this.scenes = all
      await this.look()
    } catch (error) {
      this.failure = error
    }
  }

  /** Asks what came of the drawings. */
  async look(): Promise<void> {
    const ofClips = this.clips.flatMap((clip) => (clip.job_id ? [clip.job_id] : []))
    const jobs = [...(this.scenes ?? []).flatMap((scene) => scene.metadata?.jobs ?? []), ...ofClips]
    if (!jobs.length) return
    try {
      const [drawn, waiting] = await Promise.all([pictures(jobs), unfinished(jobs)])
      this.drawn = drawn
      this.waiting = waiting
    } catch {
      // The frame says when the server is away; the next change asks again.
    }
  }

  /** The pictures of a scene, the oldest drawing first. */
  versions(scene: Scene): Item[] {
    return (scene.metadata?.jobs ?? []).flatMap((job) => this.drawn[job] ?? [])
  }

  /** The picture that stands for a scene: the one that was chosen, else the newest. */
  still(scene: Scene): Item | null {
    const all = this.versions(scene)
    return all.find((one) => one.id === scene.metadata?.chosen) ?? all.at(-1) ?? null
  }

  /** The newest clip of a scene. */
  clip(scene: Scene): Clip | null {
    return this.clips.findLast((clip) => clip.scene_id === scene.id) ?? null
  }

  /** What a clip came to. */
  video(clip: Clip): Item | null {
    return this.drawn[clip.job_id ?? '']?.find((item) => item.video) ?? null
  }

  async makeClip(scene: Scene, begin: Item, end: Item | null, seconds: number): Promise<void> {
    const prompt = (scene.metadata?.prompt || scene.description || begin.prompt).trim()
    await attempt(async () => {
      const order = this.clips.filter((clip) => clip.scene_id === scene.id).length
      const { clip, warnings } = await drawClip(scene.id, prompt, begin, end, seconds, order, this.board?.primary_character_id ?? null)
      for (const warning of warnings) notices.done(warning)
      this.clips = [...this.clips, clip]
      await this.look()
    })
  }

  /** How many drawings of a scene are under way. */
  running(scene: Scene): number {
    return (scene.metadata?.jobs ?? []).filter((job) => ['queued', 'processing'].includes(this.waiting[job]?.status)).length
  }

  /** Why the last drawing of a scene failed, where it did. */
  problem(scene: Scene): string {
    const last = this.waiting[scene.metadata?.jobs?.at(-1) ?? '']
    return last?.status === 'failed' ? last.error || words.draw.failed : ''
  }

  async rename(columns: Partial<Board>): Promise<void> {
    await attempt(async () => (this.board = await changeBoard(this.id, columns)))
  }

  async add(): Promise<void> {
    const last = this.scenes?.at(-1)?.scene_order ?? 0
    await attempt(async () => {
      const made = await addScene(this.id, last + 1)
      this.scenes = [...(this.scenes ?? []), made]
    })
  }

  async change(scene: Scene, columns: Partial<Scene>): Promise<void> {
    await attempt(async () => this.put(await changeScene(scene.id, columns)))
  }

  private put(scene: Scene): void {
    this.scenes = this.scenes!.map((one) => (one.id === scene.id ? scene : one))
  }

  async remove(scene: Scene): Promise<void> {
    await attempt(async () => {
      await deleteScene(scene.id)
      this.scenes = this.scenes!.filter((one) => one.id !== scene.id)
      notices.done(words.storyboards.sceneDeleted, () => void attempt(async () => {
        const { id, title, description, metadata } = scene
        await addScene(this.id, scene.scene_order, { id, title, description, metadata })
        this.scenes = await scenes(this.id)
        await this.look()
      }))
    })
  }

  /** Puts a scene at another place; where the server declines, it goes back. */
  async move(from: number, to: number): Promise<void> {
    const before = this.scenes!
    if (from === to || to < 0 || to >= before.length) return
    const next = [...before]
    next.splice(to, 0, ...next.splice(from, 1))
    this.scenes = next.map((scene, at) => ({ ...scene, scene_order: at + 1 }))
    const done = await attempt(async () => { await order(next); return true })
    if (!done) this.scenes = before
  }

  async draw(scene: Scene): Promise<void> {
    const prompt = (scene.metadata?.prompt || scene.description || '').trim()
    if (!prompt) return
    await attempt(async () => {
      const { jobId, warnings } = await drawScene(prompt, this.board?.primary_character_id ?? null)
      for (const warning of warnings ?? []) notices.done(warning)
      this.put(await changeScene(scene.id, { metadata: { ...scene.metadata, jobs: [...(scene.metadata?.jobs ?? []), jobId] } }))
      await this.look()
    })
  }

  async enrich(scene: Scene): Promise<void> {
    const prompt = (scene.metadata?.prompt || scene.description || '').trim()
    if (!prompt) return
    await attempt(async () => {
      const made = await enrich(prompt)
      for (const warning of made.warnings) notices.done(warning)
      if (made.prompt !== prompt) this.put(await changeScene(scene.id, { metadata: { ...scene.metadata, prompt: made.prompt } }))
    })
  }
}
