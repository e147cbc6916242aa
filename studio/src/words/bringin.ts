/** Texts of bringing in what was made with other programs. */
import { count } from './count'

export const bringin = {
  open: 'Bring in data of SillyTavern', text: 'Characters, chats, group chats, worlds, personas, backgrounds and pictures of SillyTavern, all at once. Everything stays private to you.',
  steps: ['Pack the folder “data” of SillyTavern, or your own folder below it, as a ZIP file.', 'Choose it here. It is looked through first, and nothing comes in yet.', 'Look at the report, and bring it in.'],
  choose: 'Choose a ZIP file', drop: 'Or drop it here.', uploading: (percent: number) => `Sends the file: ${percent} %`, tooLarge: 'The server takes no file as large as this.', notZip: 'Choose a ZIP file.', looking: (done: number, of: number) => `Looks through it: ${done.toLocaleString()} of ${count(of, 'file', 'files')}`,
  running: (done: number, of: number) => `Comes in: ${done.toLocaleString()} of ${count(of, 'file', 'files')}`, waiting: 'Waits for another import.', closed: 'You may leave this page: it goes on.', failed: 'It could not be done', again: 'Try again',
  report: 'What would come in', done: 'What came in', begin: 'Bring it in', discard: 'Discard it', discarded: 'The file is gone.', other: 'Bring in another one', folder: 'Which of these folders is yours?', pickFolder: 'Choose a folder', several: 'This file has folders of several people.',
  kinds: { characters: 'Characters', chats: 'Chats', personas: 'Personas', backgrounds: 'Backgrounds', expressions: 'Expressions', pictures: 'Pictures', worlds: 'Worlds' } as Record<string, string>, kind: 'What', fresh: 'New', there: 'There already', nothing: 'Nothing of SillyTavern comes in.',
  skipped: (number: number) => `${count(number, 'thing', 'things')} left out`, notes: (number: number) => count(number, 'remark', 'remarks'), unlisted: (number: number) => `and ${number.toLocaleString()} more`, left: 'Beside the folders', goOn: 'Unfinished', goOnText: 'This file was sent before. What came in stays; it goes on where it was.', toCharacters: 'To the characters', toChats: 'To the chats',
  reportOf: (folder: string) => `Report of ${folder}`, whole: 'the file',
}
