/** The texts of sessions, which come with the account's screen. */
export const texts = {
  title: 'Where you are signed in', text: 'Each browser or program that signed in with your password. Signing out there takes effect at once.', here: 'this one', end: 'Sign out',
  endAt: (what: string) => `Sign out: ${what}`, ended: 'Signed out there.', used: (when: string) => `used ${when}`, since: (when: string) => `since ${when}`, unknown: 'A program', browsers: { Edg: 'Edge', OPR: 'Opera', Firefox: 'Firefox', Chrome: 'Chrome', Safari: 'Safari' } as Record<string, string>,
  systems: { Android: 'Android', iPhone: 'iPhone', iPad: 'iPad', Windows: 'Windows', 'Mac OS X': 'macOS', Linux: 'Linux' } as Record<string, string>, on: (browser: string, system: string) => `${browser} on ${system}`,
}
