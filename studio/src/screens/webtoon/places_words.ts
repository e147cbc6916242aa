/** The texts of places and of drawing in another style, which come with the screens of webtoons. */
import { count } from '../../words/count'

export const texts = {
  restyle: {
    title: 'In another style', text: 'Every scene of this episode is drawn again in it, by its plan and with the same seeds. The pictures that are there stay as versions; one that is approved is shown until another is.', style: 'Style', choose: 'Choose one', now: (name: string) => `Now: ${name}.`,
    draw: (scenes: number) => `Draw ${count(scenes, 'scene', 'scenes')} in it`, begun: (name: string) => `The scenes are drawn in “${name}”.`, runs: (scenes: number) => `${count(scenes, 'scene is', 'scenes are')} being drawn.`,
  },
  places: {
    title: 'Places', text: 'A place is described once and shared by scenes: what it looks like goes into the pictures of each. Changing it makes their panels out of date.', empty: 'No places yet.', add: 'Add a place', description: 'What it looks like', descriptionHint: 'Such as: a harbour at dusk, wet planks, one red lamp.',
    pin: 'Keep it at the top', pinned: 'kept at the top', used: (scenes: number) => (scenes ? `in ${count(scenes, 'scene', 'scenes')}` : 'in no scene'), change: 'Change it', delete: (what: string) => `Delete this place: ${what}`, deleted: 'The place is deleted.', saved: 'Saved. Panels at this place are out of date until they are drawn again.',
    picture: 'Add a picture of it', pictures: 'Pictures of it', counts: 'its pictures count', elements: 'What never changes there', elementsHint: 'Separated by commas.', here: 'Where it is', nowhere: 'As its text says', inUse: 'It is in use: give its scenes another place first.', set: 'The scene is set there now.', alt: (what: string) => `Picture of ${what}`,
  },
}
