/** The texts of the later parts of the administrators' screen, which come with it. */
export const texts = {
  check: {
    title: 'Look the store over', text: 'Every row, every index entry and every file is read and compared. The server goes on meanwhile; on a large store it takes minutes.', quick: 'Leave out what is in the files', begin: 'Begin the check',
    runs: 'It is being looked over.', begun: (when: string) => `begun ${when}`, sound: (rows: string, blobs: string) => `The store is whole: ${rows} rows and ${blobs} files looked at.`, faults: (faults: number) => `${faults === 1 ? '1 fault was' : `${faults} faults were`} found.`, failed: (why: string) => `It could not be looked over: ${why}`,
    left: (number: number) => `${number} files that no row names; the next tidying removes them.`, ended: (when: string) => `Ended ${when}.`, faultList: 'Faults',
  },
}
