/** Texts of maintenance: backups, log, audit trail, settings. */
import { count } from './count'

export const upkeep = {
  backups: {
    title: 'Backups', text: 'A backup holds everything: rows, files and the keys of this server. It is made while the server works.',
    none: 'No backup yet.', make: 'Make a backup now', making: 'Writes a backup …', made: (name: string) => `The backup ${name} is written.`,
    noFolder: 'There is no folder for backups yet.',
    noFolderText: 'Set PLAYHOUSE_BACKUP_DIR to a folder, best on another disk, and start the server again; then backups are written by themselves too.',
    folder: 'Folder', last: 'Last one', next: 'Next one', never: 'none yet', problem: 'The last try failed', kept: 'How many are kept', keptHint: 'The oldest go when a new one is written.',
    every: 'Hours between two', list: 'What there is', about: (size: string, files: number) => `${size} · ${count(files, 'file', 'files')}`, faulty: 'The store lacked something when it was made.',
    restore: 'Bring one back', restoreText: 'Not from this page: it replaces all that is here. On the machine of the server:',
    steps: ['Stop the server.', 'Restore into a new folder:', 'Start with that folder; when all is well, the old one can go:'],
  },
  log: {
    title: 'Log', level: 'From which level on', levels: { error: 'Errors', warn: 'Warnings', info: 'Everything', debug: 'With details' } as Record<string, string>,
    search: 'Words, or the id of a request', none: 'No line of the log is like this.', kept: (lines: number) => `The last ${lines.toLocaleString()} lines since the start are kept here.`,
    request: 'Lines of this request', fields: 'Details', lines: 'Lines of the log', fresh: 'Follow the log',
  },
  trail: {
    title: 'Audit trail', text: 'Every change of rows: which, by whom, when, and what differed.', table: 'Table', anyTable: 'All tables', account: 'Account', accountHint: 'A part of the name',
    action: 'What was done', actions: { '': 'Anything', create: 'Made', update: 'Changed', delete: 'Deleted' } as Record<string, string>, from: 'From', to: 'Until', request: 'Request', row: 'Row',
    none: 'No entry is like this.', server: 'the server', gone: 'an account that is gone', before: 'Before', after: 'Afterwards', column: 'Column', clear: 'Show all', entries: 'Entries',
    noAccount: 'No account has this in its name.', changed: (number: number) => count(number, 'column', 'columns'), showRequest: 'All of this request',
  },
  workers: {
    title: 'Workers', text: 'Other machines can talk, draw and film for this server. An address that you use here is trusted from then on.', program: 'The same program on another machine fetches its work by itself, without an address here:',
    kinds: { chat: 'Chats', sdxl: 'Pictures', wan: 'Videos' } as Record<string, string>, none: 'No machine of this kind.', well: 'answers', ill: 'does not answer', answers: (ms: number) => `in ${ms} ms`, address: 'Address', use: 'Use this one', looking: 'Looks at it …', set: 'It is used from now on.',
  },
  settings: {
    title: 'Settings', now: 'Changed while the server runs', nowText: 'What is set here counts at once, and stays until it is taken back.', back: 'As configured', set: 'set here', asConfigured: (value: string) => `configured: ${value}`,
    names: { backupsKept: 'Backups that are kept', backupEveryH: 'Hours between two backups', libraryBinDays: 'Days in the bin of the library' } as Record<string, string>,
    all: 'All settings', allText: 'These come from the command line, the environment or playhouse.json, and count from the next start on.', search: 'Search settings', only: 'Only what was set', setting: 'Setting', value: 'Value', from: 'Comes from',
    none: 'No setting is like this.', empty: 'not set', signUp: 'Who may sign up is set on the tab “Sign-up”.',
    sources: { default: 'default', file: 'file', environment: 'environment', flag: 'command line' } as Record<string, string>,
  },
}
