/** Texts of reports, and of what administrators decide about them. */
import { count } from './count'

export const moderation = {
  title: 'Moderation', text: 'Pictures that were reported, or are for adults and public: their owners alone see them until an administrator has decided.',
  statuses: { flagged: 'Waits', approved: 'Approved', rejected: 'Rejected' } as Record<string, string>, none: 'No picture waits.', noneOf: 'No picture here.', reasons: { reported: 'Reported', nsfw: 'For adults, and public' } as Record<string, string>,
  reports: (number: number) => count(number, 'report', 'reports'), notes: 'Note', notesHint: 'Kept with the decision.', approve: 'May be shown', reject: 'Stays hidden', approved: 'It may be shown.', rejected: 'It stays hidden.', gone: 'The file is gone.',
  character: 'Character', owner: 'Of', decided: (when: string) => `decided ${when}`, picture: 'Picture that waits',
  report: 'Report this picture', reportTitle: 'Report this picture?', reportText: 'It is hidden from others until an administrator has looked at it.', why: 'What is wrong with it', send: 'Report', sent: 'Reported. An administrator looks at it.', sentShown: 'Reported. An administrator had approved it before, and looks again.',
}
