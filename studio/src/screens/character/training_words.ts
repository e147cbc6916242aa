/** The texts of a character's training, which come with its screen. */
export const texts = {
  title: 'Learned looks', text: 'A LoRA learns this character from its pictures; pictures by the same model are drawn with it from then on.',
  none: 'Nothing learned yet.', uses: 'Draw with it', scale: 'How strongly', model: (name: string) => `for the model ${name}`, says: (word: string) => `prompts say “${word}”`,
  remove: (name: string) => `Delete ${name}`, removed: (name: string) => `${name} is deleted.`, sample: (name: string) => `Sample of ${name}`,
  train: 'Train on pictures', choose: 'Pictures to learn from', chooseText: (least: number, most: number) => `${least} to ${most} of this character; different poses and places help most.`,
  picture: (number: number) => `Picture ${number}`, caption: (number: number) => `What is to be seen in picture ${number}`, captionHint: 'Empty: the looks in words of this page.',
  upload: 'Add pictures of mine', chosen: (count: number) => (count === 1 ? '1 picture chosen' : `${count} pictures chosen`),
  needs: (least: number) => `Choose at least ${least}.`, tooMany: (most: number) => `At most ${most} are taken.`,
  steps: 'Steps', stepsHint: 'More steps learn more, and take longer.', batch: 'Pictures a step', cost: (credits: number) => `Costs ${credits} credits; at more than 512 pixels more.`, free: 'Costs nothing.',
  begin: 'Begin the training', queued: 'The training waits for its turn.', step: (step: number, steps: number) => `Step ${step} of ${steps}`, loss: (loss: string) => `loss ${loss}`,
  progress: 'How far the training is', preview: 'A sample on the way', stop: 'Stop the training', stopped: 'The training is stopped; what it cost is back.',
  done: 'The training is done: pictures are drawn with it.', failed: 'The training failed:', lossCurve: 'Loss from the first step to the last',
}
