/** One storyboard: its scenes in order, and what was drawn for each. */
import { clips, deleteClip, makeClip, renders, type Clip, type ClipOrder, type Render } from '../../server/clips'
import { type Item } from '../../server/library'
import { place, type Place } from '../../server/pictures'
import {
  addScene, approve, board, changeBoard, changeNotes, changeScene, deleteScene, drawScene, enrich, jobsOf, order, pictures, plan, scenes, unfinished,
  type Board, type Scene, type SceneNotes,
} from '../../server/storyboards'
import { attempt, notices } from '../../state/notices.svelte'
import { joined } from '../../state/rows'
import { words } from '../../words'

export class OpenBoard {
  board = $state<Board | null>(null)
  missing = $state(false)
  failure = $state<unknown>(null)
  scenes = $state<Scene[] | null>(null)
  clips = $state<Clip[]>([])
  renders = $state<Render[]>([])
  /** Pictures by job. */
  drawn = $state<Record<string, Item[]>>({})
  /** Drawings that are not done, by job. */
  waiting = $state<Record<string, { status: string; error: string | null }>>({})

  constructor(readonly id: string) {}

  async open(): Promise<void> {
    this.failure = null
    try {
      const [found, all, videos, films] = await Promise.all([board(this.id), scenes(this.id), clips(this.id), renders(this.id)])
      this.board = found
      this.clips = videos
      this.renders = films
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
    const jobs = [...(this.scenes ?? []).flatMap(jobsOf), ...ofClips]
    if (!jobs.length) return
    try {
      const [drawn, waiting] = await Promise.all([pictures(jobs), unfinished(jobs)])
      this.drawn = drawn
      this.waiting = waiting
    } catch {
      // The frame says when the server is away; the next change asks again.
    }
  }

  /** Something was drawn: its clip or scene changed with it. */
  async news(): Promise<void> {
    if (!this.scenes) return
    try {
      const [videos, all] = await Promise.all([clips(this.id), scenes(this.id)])
      this.clips = videos
      // What is being typed has not been sent yet: only what the server brings is taken over.
      const notes = new Map(all.map((scene) => [scene.id, scene]))
      this.scenes = this.scenes.map((scene) => {
        const now = notes.get(scene.id)
        return now ? { ...scene, metadata: now.metadata, status: now.status } : scene
      })
    } catch {
      // As above.
    }
    await this.look()
  }

  async lookAtFilms(): Promise<void> {
    try {
      const before = this.renders[0]?.status
      this.renders = await renders(this.id)
      if (this.renders[0]?.status === 'completed' && before !== 'completed') this.board = await board(this.id)
    } catch {
      // As above.
    }
  }

  /** The pictures of a scene, the oldest drawing first. */
  versions(scene: Scene): Item[] {
    return jobsOf(scene).flatMap((job) => (this.drawn[job] ?? []).filter((item) => !item.video))
  }

  /** The picture that stands for a scene: the one that was chosen, else the newest. */
  still(scene: Scene): Item | null {
    const all = this.versions(scene)
    return all.find((one) => one.id === scene.metadata?.chosen) ?? all.at(-1) ?? null
  }

  /** The clips of a scene, in order. */
  of(scene: Scene): Clip[] {
    return this.clips.filter((clip) => clip.scene_id === scene.id)
  }

  /** Where the video of a clip lies, where there is one. */
  video(clip: Clip): Place | null {
    // Clips of earlier versions of this page have a job and no address.
    return place(clip.video_url) ?? this.drawn[clip.job_id ?? '']?.find((item) => item.video)?.at ?? null
  }

  async makeClip(scene: Scene, asked: ClipOrder): Promise<boolean> {
    const made = await attempt(async () => {
      const { clip, warnings, reason } = await makeClip(scene.id, asked)
      for (const warning of warnings) notices.done(warning)
      if (reason) notices.done(words.boards.suits(reason))
      this.clips = joined(this.clips, [clip])
      await this.look()
      return true
    })
    return !!made
  }

  async removeClip(clip: Clip): Promise<void> {
    await attempt(async () => {
      await deleteClip(clip.id)
      this.clips = this.clips.filter((one) => one.id !== clip.id)
      notices.done(words.boards.clipDeleted)
    })
  }

  /** Why a clip was not drawn. */
  clipProblem(clip: Clip): string {
    return this.waiting[clip.job_id ?? '']?.error || clip.generation_metadata?.error || ''
  }

  /** How many drawings of a scene are under way. */
  running(scene: Scene): number {
    return jobsOf(scene).filter((job) => ['queued', 'processing'].includes(this.waiting[job]?.status)).length
  }

  /** Why the last drawing of a scene failed, where it did. */
  problem(scene: Scene): string {
    const last = this.waiting[jobsOf(scene).at(-1) ?? '']
    return last?.status === 'failed' ? last.error || words.draw.failed : ''
  }

  async rename(columns: Partial<Board>): Promise<void> {
    await attempt(async () => (this.board = await changeBoard(this.id, columns)))
  }

  async add(): Promise<void> {
    const last = this.scenes?.at(-1)?.scene_order ?? 0
    await attempt(async () => {
      const made = await addScene(this.id, last + 1)
      this.scenes = joined(this.scenes, [made])
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

  /** The last order that was sent, which the next one waits for. */
  private turn: Promise<unknown> = Promise.resolve()

  /** Puts a scene at another place; where the server declines, it goes back. */
  async move(from: number, to: number): Promise<void> {
    const before = this.scenes!
    if (from === to || to < 0 || to >= before.length) return
    const next = [...before]
    next.splice(to, 0, ...next.splice(from, 1))
    this.scenes = next.map((scene, at) => ({ ...scene, scene_order: at + 1 }))
    const mine = this.turn.then(() => attempt(async () => { await order(next); return true }))
    this.turn = mine
    if (!(await mine)) this.scenes = before
  }

  /** Changes what is kept with a scene. */
  async note(scene: Scene, change: (notes: SceneNotes) => SceneNotes): Promise<void> {
    await attempt(async () => this.put(await changeNotes(scene.id, change)))
  }

  async draw(scene: Scene): Promise<void> {
    await attempt(async () => {
      const { jobId, warnings } = await drawScene(scene.id)
      for (const warning of warnings ?? []) notices.done(warning)
      this.put(await changeNotes(scene.id, (notes) => ({ ...notes, jobs: [...(notes.jobs ?? []), jobId] })))
      await this.look()
    })
  }

  /** Approves a picture that is kept; none takes the approval back. */
  async approve(scene: Scene, item: Item | null): Promise<void> {
    await attempt(async () => {
      await approve(scene.id, item && `${item.at.bucket}/${item.at.path}`)
      this.put(await changeNotes(scene.id, ({ chosen: _, ...notes }) => (item ? { ...notes, chosen: item.id } : notes)))
      notices.done(item ? words.boards.approvedDone : words.boards.takenBack)
    })
  }

  /** Has what it is about divided into scenes. */
  async plan(): Promise<void> {
    await attempt(async () => {
      const before = this.scenes?.length ?? 0
      const { warnings } = await plan(this.board!)
      for (const warning of warnings) notices.done(warning)
      this.scenes = await scenes(this.id)
      notices.done(words.boards.planned(this.scenes.length - before))
    })
  }

  async enrich(scene: Scene): Promise<void> {
    const prompt = (scene.metadata?.prompt || scene.description || '').trim()
    if (!prompt) return
    await attempt(async () => {
      const made = await enrich(prompt)
      for (const warning of made.warnings) notices.done(warning)
      if (made.prompt !== prompt) await this.note(scene, (notes) => ({ ...notes, prompt: made.prompt }))
    })
  }
}
