/** The texts of collections, lineage and choosing by a rectangle, which come with the library. */
import { count } from '../../words/count'

export const texts = {
  collection: 'Collection', any: 'All', none: 'In no collection', new: 'New collection', name: 'Name', make: 'Make the collection', manage: 'Collections', into: 'Into a collection', rename: 'Rename',
  collected: (name: string) => `In “${name}” now.`, takenOut: 'In no collection now.', delete: (name: string) => `Delete the collection ${name}`, deleted: (name: string) => `${name} is deleted; its pictures stay in the library.`,
  managed: 'A picture is in one collection at most. Deleting a collection keeps its pictures.', empty: 'No collections yet.', pictures: (number: number | null) => count(number ?? 0, 'picture', 'pictures'),
  tagAll: 'Add a tag', tagged: (tag: string) => `Tagged “${tag}”.`, lassoHint: 'Draw a rectangle with the mouse to choose what it touches; Shift chooses a range.',
  picture: 'The picture', zoom: 'Zoom',
  filters: 'More filters', since: 'Made since', until: 'Made until',
  lineage: 'Where it comes from', job: 'Drawn by a job', jobWhen: (when: string) => `Drawn ${when}`, character: 'Character', chat: 'Chat', drawnOver: 'Drawn over', storyboard: 'Storyboard', unknown: 'Nothing is known of where it comes from.', gone: 'It is no longer here.',
}
