/** The texts of the library of actors, which come with its screen. */
export const texts = {
  title: 'Actors', text: 'Actors are characters without a story: drawn or taken from a picture once, they can be given a part in any story.', back: 'Webtoons', emptyTitle: 'No actors yet', emptyText: 'Have one drawn from a description, or make one of a picture of yours.',
  new: 'New actor', name: 'Name', description: 'Who they are', line: 'In a few words', lineHint: 'What every picture says, such as: tall, grey coat, scar on the chin.', hair: 'Hair', outfit: 'Clothes',
  draw: 'Draw the sheet', again: 'Draw it again', drawing: 'The sheet is being drawn; this can take minutes.', sheet: 'The sheet, not saved yet', save: 'Save this actor', saved: (name: string) => `${name} is in the library.`, upload: 'Make one of a picture of mine', needs: 'Say how the actor looks: hair, clothes, or a few words.',
  open: (name: string) => `Open ${name}`, remove: 'Take out of the library', removed: (name: string) => `${name} is out of the library.`, pictures: 'Pictures', looks: 'Looks', addLook: 'Draw another look', lookWords: 'What is different', lookHint: 'Such as: a raincoat, wet hair.', lookDrawn: 'The look is drawn.', removeLook: (name: string) => `Remove the look ${name}`, base: 'base', alt: (name: string, what: string) => `${name}: ${what}`,
  part: 'Actors are among “From my characters” in the cast of each story.',
}
