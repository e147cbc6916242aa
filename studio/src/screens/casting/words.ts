/** The texts of casting, which come with its screens. */

export const texts = {
  title: 'Cast', emptyTitle: 'No characters yet', emptyText: 'Those that the story names are found when it is made. Add others, or give parts to your own characters.',
  add: 'Add a character', name: 'Name', about: 'Who and how', aboutHint: 'Looks count: hair, clothes, age. Panels and pictures are drawn from it.', own: 'From my characters', ownText: 'Your own characters play in this story; their face is what panels begin with.',
  take: (name: string) => `Give ${name} a part`, taken: (name: string) => `${name} is in the story.`, isIn: 'in the story', none: 'None found.', lacksFace: 'This character has no picture yet: draw a portrait on its own page first.',
  approved: 'Approved', notApproved: 'Not approved', back: 'Cast', gone: 'This character is not in this story.',
  profile: 'Profile', role: 'Part', roles: { main: 'Main', protagonist: 'Protagonist', antagonist: 'Antagonist', secondary: 'Secondary' } as Record<string, string>, roleHint: 'A main character is approved with an approved face.',
  gender: 'Gender', genders: { unspecified: 'Not said', female: 'Female', male: 'Male', non_binary: 'Non-binary' } as Record<string, string>,
  age: 'Age', noAge: 'Not said', ages: { child: 'Child', teen: 'Teen', young_adult: 'Young adult', adult: 'Adult', middle_aged: 'Middle-aged', elderly: 'Elderly' } as Record<string, string>,
  hair: 'Hair', outfit: 'Clothes', line: 'In a few words', lineHint: 'What every picture says, such as: tall, grey coat, scar on the chin.', approve: 'Approve', saved: 'Saved. Panels with this character are out of date until they are drawn again.',
  takeOut: 'Take out of this story', takenOut: (name: string) => `${name} is out of the story, and stays with the project.`,
  keep: 'Offer it to other stories of the project', keepHint: 'It needs an approved picture.',
  pictures: {
    title: 'Reference pictures', text: 'Approve those that show how the character looks; the primary face is what panels begin with.', none: 'No pictures yet.', type: 'What it shows', count: 'How many', draw: 'Draw', drawing: 'Being drawn; this can take minutes.',
    types: { face: 'Face', full_body: 'Whole body', profile_sheet: 'Character sheet', variant: 'Look', imported: 'Taken in' } as Record<string, string>, upload: 'Take a picture of mine', approve: 'Approve', approved: 'Approved', primary: 'Primary', makePrimary: 'Make it primary',
    remove: (type: string) => `Remove this picture: ${type}`, needs: 'Say first how the character looks: a description, or a few words.', alt: (name: string, type: string) => `${name}: ${type}`,
  },
  looks: {
    title: 'Looks', text: 'A look with a picture takes the face’s place: the active one in the whole story, others in the scenes that they are for.', none: 'No looks: the face counts everywhere.', add: 'Add a look', name: 'Name', nameHint: 'Such as: raincoat, ten years later.',
    picture: 'Its picture', noPicture: 'None', scenes: 'Only in scenes', scene: (number: number) => `Scene ${number}`, active: 'Active in this story', make: 'Make it active', end: 'No longer active', isDefault: 'default', unnamed: 'Look',
    remove: (name: string) => `Remove the look ${name}`, made: 'The look is there.', for: (scenes: number[]) => `in ${scenes.length === 1 ? 'scene' : 'scenes'} ${scenes.join(', ')}`,
  },
}
