/** Drawings under way, step by step, and what came of them. */
import { follow, Refused } from '../../server/client'
import { cancel, draw, EMPTY, unfinished, type DrawForm } from '../../server/jobs'
import { items, ofWorkspace, type Item } from '../../server/library'
import { draft, keepDraft } from '../../state/drafts'
import { attempt, notices } from '../../state/notices.svelte'
import { words } from '../../words'

export interface Running {
  id: string
  prompt: string
  step: number
  steps: number
  preview: string
  began: number
}

class Drawing {
  form = $state<DrawForm>({ ...EMPTY })
  running = $state<Running[]>([])
  results = $state<Item[] | null>(null)
  failure = $state<unknown>(null)
  private followed = new Set<string>()

  /** Reads what there is; the form is as it was left. */
  async begin(): Promise<void> {
    this.form = { ...EMPTY, ...draft<Partial<DrawForm>>('draw', {}) }
    this.failure = null
    try {
      const [open, results] = await Promise.all([unfinished(), items('workspace', '', 0, 48)])
      this.results = results
      for (const job of open) if (job.format !== 'mp4' && job.format !== 'video') void this.watch(job.id, job.original_prompt ?? '')
    } catch (error) {
      this.failure = error
    }
  }

  keep(): void {
    keepDraft('draw', $state.snapshot(this.form))
  }

  /** Takes settings over into the form. */
  use(settings: Partial<DrawForm>): void {
    Object.assign(this.form, settings)
    this.keep()
  }

  async draw(): Promise<void> {
    await attempt(async () => {
      const { jobId, warnings } = await draw($state.snapshot(this.form))
      for (const warning of warnings ?? []) notices.done(warning)
      void this.watch(jobId, this.form.prompt)
    })
  }

  async cancel(id: string): Promise<void> {
    await attempt(async () => {
      await cancel(id)
      notices.done(words.draw.cancelled)
    })
  }

  /** Follows a job to its end, also over broken connections. */
  private async watch(id: string, prompt: string): Promise<void> {
    if (this.followed.has(id)) return
    this.followed.add(id)
    this.running = [{ id, prompt, step: 0, steps: 0, preview: '', began: 0 }, ...this.running]
    const mine = () => this.running.find((one) => one.id === id)
    for (let ended = false; !ended; ) {
      try {
        for await (const { name, data } of follow('job-progress', { job_id: id })) {
          const one = mine()
          if (name === 'step' && one) {
            one.began ||= Date.now()
            Object.assign(one, { step: data.step, steps: data.steps, preview: data.preview || one.preview })
          }
          if (name === 'done') {
            ended = true
            const fresh: Item[] = (data.assets ?? []).map(ofWorkspace)
            this.results = [...fresh, ...(this.results ?? []).filter((item) => !fresh.some((one) => one.id === item.id))]
            if (data.job?.status === 'failed') notices.failed(new Refused(0, `${words.draw.failed}: ${data.job.error_message ?? ''}`, 'JOB'))
          }
        }
      } catch (error) {
        if (error instanceof Refused && error.status < 500 && error.status !== 429) ended = true
      }
      if (!ended) await new Promise((resolve) => setTimeout(resolve, 1500))
    }
    this.followed.delete(id)
    this.running = this.running.filter((one) => one.id !== id)
  }
}

export const drawing = new Drawing()
