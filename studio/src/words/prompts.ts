/** Texts of what goes before every prompt: templates, negative prompts, and tests of two configurations. */
import { count } from './count'

export const prompts = {
  templates: {
    title: 'Templates', text: 'What models are instructed with before a chat, and before they enrich a prompt. Changes count at once where the cache is written anew.', search: 'Search templates', new: 'New template',
    none: 'No template is like this.', name: 'Name', useCase: 'Used for', useCaseHint: 'Such as character_roleplay, general, enhancement.', jobType: 'Kind of job', enhancer: 'Model that reads it', mode: 'For whom',
    modes: { sfw: 'All ages', nsfw: 'Adults only' } as Record<string, string>, limit: 'Longest answer, in tokens', prompt: 'Instructions for the model', active: 'In use', inactive: 'not in use', back: 'All templates', save: 'Save', saved: 'Saved.',
    delete: 'Delete', deleteTitle: (name: string) => `Delete ${name}?`, deleteText: 'Where no other template fits, the server takes one of its own.', deleted: 'The template is deleted.',
    refresh: 'Write the cache anew', refreshed: (templates: number) => `${count(templates, 'template is', 'templates are')} in the cache.`, try: 'Try it', tryHint: 'What is in the box above is tried, saved or not. Nothing is kept.',
    tryText: 'A text for it', run: 'Try it out', running: 'The model answers …', answer: 'The answer', tokens: (template: number, text: number, answer: number) => `${template} tokens of template, ${text} of text, ${answer} of answer`,
    noModel: 'There is no chat model that could answer.',
  },
  negatives: {
    title: 'Negative prompts', text: 'What drawings shall not show, added to every prompt of its kind.', model: 'Models', mode: 'For whom', kind: 'Kind of drawing', words: 'Words', active: 'In use', saved: 'Saved.', none: 'None yet.',
    label: (model: string, mode: string, kind: string) => `${model}, ${mode}, ${kind}`,
  },
  tests: {
    title: 'A/B tests', text: 'Two configurations of prompts against each other: each account is drawn into one of both by lot, and ratings decide.', new: 'New test', none: 'No test yet.', name: 'Name', series: 'Series', baseline: 'As now (A)', enhanced: 'What is tried (B)',
    preset: 'Preset', noPreset: 'No preset', negative: 'Negative prompt', steps: 'Steps', guidance: 'Guidance', differ: 'A and B must differ in something.', begin: 'Begin the test', begun: 'The test has begun.', end: 'End the test', ended: 'The test has ended.',
    open: 'Runs', complete: 'Ended', accounts: (number: number) => count(number, 'account', 'accounts'), rated: (number: number) => `${count(number, 'account', 'accounts')} with ratings`, mean: (value: string) => `rated ${value} on average`, noRatings: 'no ratings yet',
    difference: 'B against A', interval: (low: string, high: string) => `between ${low} and ${high}, in 95 of 100 cases`, confidence: (percent: string) => `sure by ${percent} %`, next: (number: number) => `It is judged when each side has ${count(number, 'account', 'accounts')} with ratings.`,
    nothing: 'nothing set',
  },
}
