/** The story that is open: its row, its scenes, and what is being made of them. */
import {
  cancelJob, draw, drawStale, plan, PLAN, planned, renders, shownRender, stale, storyJobs, type Artifact, type GraphJob, type Render, type Stale,
} from '../../server/webtoon_jobs'
import { build, scenes, story, type Build, type Scene, type Story } from '../../server/webtoon'
import { Refused } from '../../server/client'
import { draft, keepDraft } from '../../state/drafts'
import { watch } from '../../state/live.svelte'
import { attempt, notices } from '../../state/notices.svelte'
import { account } from '../../state/session.svelte'
import { texts } from './words'

/** Changes come in bursts: one look after them is enough. */
const LOOK_AFTER_MS = 150

export class OpenStory {
  story = $state<Story | null>(null)
  scenes = $state<Scene[] | null>(null)
  /** Jobs of graphs, the newest first. */
  jobs = $state<GraphJob[]>([])
  /** Versions of pictures by scene, the newest first. */
  renders = $state.raw<Record<string, Artifact<Render>[]>>({})
  planned = $state.raw<Record<string, Set<string>>>({})
  stale = $state.raw<Stale[]>([])
  /** Whether rules plan, or the language model. */
  offline = $state(true)
  missing = $state(false)
  failure = $state<unknown>(null)
  private timer = 0

  constructor(readonly id: string) {
    this.offline = draft(`webtoon.offline.${id}`, this.asked?.offline ?? true)
  }

  /** Follows the story until the returned function is called. */
  follow(): () => void {
    void this.look()
    const soon = () => {
      clearTimeout(this.timer)
      this.timer = setTimeout(() => void this.look(), LOOK_AFTER_MS) as unknown as number
    }
    const ends = [watch('stories', `id=eq.${this.id}`, soon), watch('jobs', `user_id=eq.${account.id}`, soon)]
    return () => {
      clearTimeout(this.timer)
      for (const end of ends) end()
    }
  }

  async look(): Promise<void> {
    try {
      const [row, all] = await Promise.all([story(this.id), scenes(this.id)])
      const ids = all.map((scene) => scene.scene_id)
      const [jobs, pictures, plans, old] = await Promise.all([storyJobs(this.id, ids), renders(ids), planned(ids), stale(this.id)])
      this.jobs = jobs
      this.renders = pictures
      this.planned = plans
      this.stale = old
      this.story = row
      this.scenes = all
      this.failure = null
    } catch (error) {
      if (error instanceof Refused && (error.status === 404 || error.status === 422)) this.missing = true
      // What is on the page stays there while the server is away.
      else if (!this.story) this.failure = error
    }
  }

  /** Whether the story as a whole is under way. */
  get isMade(): boolean {
    return this.story?.generation_status === 'queued' || this.story?.generation_status === 'processing'
  }

  /** The newest job that builds the story. */
  get building(): GraphJob | undefined {
    return this.jobs.find((job) => job.type === 'webtoon_story')
  }

  /** The newest job of a scene. */
  jobOf(scene: string): GraphJob | undefined {
    return this.jobs.find((job) => job.scene === scene)
  }

  runs(scene: string): boolean {
    return isUnderWay(this.jobOf(scene))
  }

  isPlanned(scene: string): boolean {
    return PLAN.every((type) => this.planned[scene]?.has(type))
  }

  /** The pictures that a scene is shown with. */
  shown(scene: Scene): Artifact<Render> | undefined {
    return shownRender(this.renders[scene.scene_id], scene.selected_render_artifact_id)
  }

  staleOf(scene: string): Stale[] {
    return this.stale.filter((panel) => panel.scene_id === scene)
  }

  planBy(offline: boolean): void {
    this.offline = offline
    keepDraft(`webtoon.offline.${this.id}`, offline)
  }

  /** Queues the planning or drawing of scenes, one job each. */
  async queue(what: 'plan' | 'draw', wanted: Scene[]): Promise<void> {
    await attempt(async () => {
      try {
        for (const scene of wanted) await (what === 'plan' ? plan : draw)(scene.scene_id, this.offline)
      } finally {
        await this.look()
      }
    })
  }

  async drawStale(): Promise<void> {
    await attempt(async () => {
      await drawStale(this.id, this.offline)
      await this.look()
    })
  }

  /** What was asked for last, in this browser. */
  get asked(): Build | null {
    return draft<Build | null>(`webtoon.build.${this.id}`, null)
  }

  async make(asked: Build): Promise<boolean> {
    keepDraft(`webtoon.build.${this.id}`, asked)
    const done = await attempt(async () => {
      await build(this.id, asked)
      await this.look()
      return true
    })
    return !!done
  }

  async cancel(job: GraphJob | undefined): Promise<void> {
    if (!job) return
    await attempt(async () => {
      await cancelJob(job.id)
      notices.done(texts.making.cancelled)
      await this.look()
    })
  }
}

export const isUnderWay = (job: GraphJob | undefined): boolean => job?.status === 'queued' || job?.status === 'processing'

/** Which node failed, in words, and what it said. */
export function reasonOf(message: string | null | undefined): { node: string; why: string } {
  const [, name = '', rest = message ?? ''] = (message ?? '').match(/^(?:webtoon_\w+: )?([A-Z]\w+): (.*)$/s) ?? []
  const node = texts.making.nodes[name] ?? ''
  return node ? { node, why: rest } : { node: '', why: message ?? '' }
}
