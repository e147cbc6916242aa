/** The texts of what a chat can do beside talking, which come with its screen. */
import { count } from '../../words/count'

export const texts = {
  more: 'More to say', attach: 'Attach a picture', attaching: 'The picture is being sent …', picture: 'Picture', detach: (name: string) => `Take ${name} off`, noPicture: 'This file is no picture.',
  tooMany: (most: number) => `A message takes ${most} pictures at most.`, tooLarge: 'This picture is larger than 20 MB.', attached: 'Pictures of this message',
  as: (name: string) => `Say it as ${name}`, asHint: (name: string) => `What you write is said by ${name}; no model is asked.`, goOn: 'Go on',
  branches: 'Other versions of this message', branchesText: 'Each version has its own continuation; going to one brings back what followed it.', branchHere: 'shown', branchGo: 'Go there', branchAt: (at: number) => `Go there: version ${at}`, branchOnly: 'There is only this one.',
  summaries: 'What happened before', summariesText: 'What a chat model wrote of messages that no longer fit into a prompt. Change what is wrong: the model reads it in their place.',
  noSummaries: 'Everything still fits into the prompt, so nothing is summed up yet.', noModel: 'No chat model is there: nothing is summed up, and what no longer fits is left out.',
  of: (messages: number) => `of ${count(messages, 'message', 'messages')}`, summary: (number: number) => `Summary ${number}`, forget: (number: number) => `Forget summary ${number}`,
  forgotten: 'Forgotten. Its messages are summed up anew when the chat goes on.', found: 'found by the model', heat: 'How freely it answers', heatHint: '0 says the likeliest, 2 the strangest. Empty: as the model likes it.', memoryOf: 'Remembers', tiers: { conversation: 'This chat', character: 'All my chats with this character', profile: 'All my chats' } as Record<string, string>,
}
