/** The story that is open: its row, its scenes, and what is being made of them. */
import { cancelJob, storyJobs, type GraphJob } from '../../server/webtoon_jobs'
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
  missing = $state(false)
  failure = $state<unknown>(null)
  private timer = 0

  constructor(readonly id: string) {}

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
      this.jobs = await storyJobs(this.id, all.map((scene) => scene.scene_id))
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
