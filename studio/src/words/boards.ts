/** Texts of the way from scenes to a film. */
import { count } from './count'

export const boards = {
  stages: 'How far it is', stage: { scenes: 'Scenes', pictures: 'Pictures', clips: 'Clips', film: 'Film' } as Record<string, string>,
  written: (at: number, of: number) => `${at} of ${of} written`, approved: (at: number, of: number) => `${at} of ${of} approved`, filmed: (at: number, of: number) => `${at} of ${of} filmed`, made: 'made', notMade: 'not made yet', outdated: 'older than a clip',
  plan: 'Have it divided into scenes', planText: 'A model divides what it is about into scenes and puts them behind those that are there.', planNeeds: 'Say what it is about first.', planning: 'The model divides the story …', planned: (scenes: number) => `${count(scenes, 'scene was', 'scenes were')} added.`,
  approve: 'Approve this picture', takeBack: 'Take the approval back', approvedTag: 'Approved', approvedDone: 'Approved and kept. Clips begin with it.', takenBack: 'No longer approved.',
  clips: 'Clips', clipOf: (name: string, number: number) => `Clip ${number} of ${name}`, kind: 'Kind of clip', auto: 'As it suits',
  kinds: { quick: 'Short, begins with the picture', extended: 'Goes on from the last clip', controlled: 'Follows a movement', long: 'One long take', keyframed: 'Ends with the next scene’s picture' } as Record<string, string>,
  motion: 'Movement', noMotion: 'Choose a movement', seconds: 'Length', ownSeconds: 'As the kind has it', secondsOf: (number: number) => count(number, 'second', 'seconds'), words: 'What moves', wordsHint: 'Empty: what the scene shows.', make: 'Make a clip', oneMore: 'Make another clip',
  clipStatus: { pending: 'Waits', processing: 'Is being drawn', failed: 'Not drawn', cancelled: 'Cancelled' } as Record<string, string>, deleteClip: (name: string) => `Delete ${name}`, clipDeleted: 'The clip is deleted.', noVideo: 'The video of this clip is gone.', suits: (reason: string) => `Chosen because ${reason}.`,
  film: 'Film', filmText: 'All finished clips in the order of their scenes, as one file.', transition: 'Between clips', transitions: { cut: 'Cut', crossfade: 'Crossfade' } as Record<string, string>, makeFilm: 'Make the film', filmAgain: 'Make the film anew', needsClips: 'Make a clip first.',
  rendering: (percent: number) => `The film is being made: ${percent} %`, waits: 'The film waits for another one.', failed: 'The film could not be made', cancel: 'Cancel', cancelled: 'Cancelled.', length: (seconds: string, size: string) => `${seconds}, ${size}`, download: 'Download the film', playFilm: 'The film',
}
