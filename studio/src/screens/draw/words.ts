/** The texts of settings that few drawings need, which come with the screen. */
export const texts = {
  skip: 'Clip skip', skipHint: 'Layers of the text encoder that are left out; A1111 says one more.', second: 'Second pass', secondHint: 'The picture is enlarged and drawn over, so that a large one keeps its composition.', none: 'None', times: (scale: string) => `${scale} × as large`,
  change: 'How much it may change there', steps: 'Steps of the second pass',
}
