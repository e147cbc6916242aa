/** Where in the page we are: what follows `#`. */

class Route {
  path = $state<string[]>([])
  query = $state(new URLSearchParams())

  constructor() {
    this.read()
    addEventListener('hashchange', () => this.read())
  }

  private read(): void {
    const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?')
    this.path = path.split('/').filter(Boolean).map(decodeURIComponent)
    this.query = new URLSearchParams(query)
  }

  get screen(): string {
    return this.path[0] ?? 'home'
  }
}

export const route = new Route()

/** Goes to a screen. */
export function go(path: string): void {
  location.hash = `/${path}`
}

/** Goes to a screen in place of this one, so that "back" does not lead here. */
export function goInstead(path: string): void {
  location.replace(`#/${path}`)
}
