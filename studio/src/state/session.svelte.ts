/** Who is signed in. */
import type { Session } from '@supabase/supabase-js'
import { db, Refused, rows } from '../server/client'
import type { Profiles } from '../server/tables'

class Account {
  session = $state<Session | null>(null)
  profile = $state<Profiles | null>(null)
  roles = $state<string[]>([])
  ready = $state(false)

  get id(): string {
    return this.session?.user.id ?? ''
  }

  get isAdmin(): boolean {
    return this.roles.includes('admin')
  }

  get name(): string {
    return this.profile?.username || this.session?.user.email || ''
  }

  /** Follows the client's session from now on. */
  async begin(): Promise<void> {
    const { data } = await db.auth.getSession()
    await this.become(data.session)
    db.auth.onAuthStateChange((event, session) => {
      // The client holds a lock while it calls us, and would wait for itself.
      if (session?.user.id !== this.id || event === 'SIGNED_OUT') setTimeout(() => this.become(session))
      else this.session = session
    })
    this.ready = true
  }

  async become(session: Session | null): Promise<void> {
    if (session && session.user.id === this.id && this.profile) {
      this.session = session
      return
    }
    this.session = session
    this.profile = null
    this.roles = []
    if (session) await this.refresh()
  }

  /** Reads the profile and roles anew. */
  async refresh(): Promise<void> {
    const id = this.id
    if (!id) return
    try {
      const [profile, roles] = await Promise.all([
        rows<Profiles | null>(db.from('profiles').select('*').eq('id', id).maybeSingle()),
        rows<{ role: string }[]>(db.from('user_roles').select('role').eq('user_id', id)),
      ])
      if (id !== this.id) return
      this.profile = profile
      this.roles = roles.map((row) => row.role)
    } catch (error) {
      // A session that was ended somewhere else opens nothing: what is left of it here goes too.
      if (error instanceof Refused && error.status === 401 && id === this.id) await db.auth.signOut({ scope: 'local' })
      // A server that is away for a moment does not end the session; screens say what they miss.
    }
  }
}

export const account = new Account()
