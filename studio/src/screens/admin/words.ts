/** The texts of the later parts of the administrators' screen, which come with it. */
export const texts = {
  check: {
    title: 'Look the store over', text: 'Every row, every index entry and every file is read and compared. The server goes on meanwhile; on a large store it takes minutes.', quick: 'Leave out what is in the files', begin: 'Begin the check',
    runs: 'It is being looked over.', begun: (when: string) => `begun ${when}`, sound: (rows: string, blobs: string) => `The store is whole: ${rows} rows and ${blobs} files looked at.`, faults: (faults: number) => `${faults === 1 ? '1 fault was' : `${faults} faults were`} found.`, failed: (why: string) => `It could not be looked over: ${why}`,
    left: (number: number) => `${number} files that no row names; the next tidying removes them.`, ended: (when: string) => `Ended ${when}.`, faultList: 'Faults',
  },
  balances: { title: 'What is left', ask: 'Ask what is left', none: 'This server says nothing of a balance.', usd: (amount: string) => `${amount} USD left`, credits: (amount: string) => `${amount} credits left`, as: (when: string) => `as of ${when}`, asked: 'Asked.', failed: (why: string) => `It could not be asked: ${why}` },
  test: { try: 'Try it', tryName: (name: string) => `Try it: ${name}`, asking: 'Asking …', drawing: 'Drawing …', said: (ms: number) => `Answered after ${(ms / 1000).toFixed(1)} s:`, drew: (ms: number) => `Drawn after ${(ms / 1000).toFixed(1)} s.`, failed: 'It failed:', system: 'Answer in one short sentence.', text: 'Say that you are there.', picture: 'a red robot waving', queued: 'Its job was taken and waits; it is listed with the jobs.', warned: 'With a remark:' },
  presets: {
    title: 'Presets that make prompts richer', text: 'A drawing names one of them (enhancement_preset): it says whether a model rewrites the prompt, how freely, and which words count more.', new: 'New preset', name: 'Name', description: 'What it is for', rewrites: 'A model rewrites the prompt',
    weighs: 'Words count more or less', auto: 'Used without being asked for', recommended: 'Recommended', temperature: 'How freely (temperature)', tokens: 'Longest prompt, in tokens', weights: 'Words and how much they count', weightsHint: 'One a line, such as: detailed: 1.2', save: 'Save', saved: 'Saved.', delete: 'Delete', deleted: (name: string) => `${name} is deleted.`, none: 'No presets yet.', used: (number: number) => `used ${number === 1 ? 'once' : `${number} times`}`, badLine: (line: string) => `“${line}” is no word with a number behind a colon.`,
  },
}
