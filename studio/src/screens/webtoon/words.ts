/** The texts of webtoons, which come with their screens and not with the first load. */
import { count } from '../../words/count'

export const texts = {
  new: 'New story', emptyTitle: 'No stories yet',
  emptyText: 'Paste a story: it becomes scenes with a cast, each scene becomes panels, and the panels become a strip that is read on a phone.',
  import: 'Take in a project file', importing: 'The file is being taken in …', imported: (rows: number) => `The project is here: ${count(rows, 'row', 'rows')}.`, importHint: 'A ZIP file that another Playhouse wrote.',
  gone: 'This story is not here, or not yours.', inProject: (name: string) => `in ${name}`,
  states: { idle: 'Not begun', queued: 'Waits for its turn', processing: 'Is being made', completed: 'Scenes are there', failed: 'Stopped' } as Record<string, string>,
  tabs: { scenes: 'Scenes', cast: 'Cast', places: 'Places', episodes: 'Episodes', settings: 'Story' } as Record<string, string>, parts: 'Parts of the story',
  make: {
    title: 'New story', name: 'Title', project: 'Project', projectHint: 'Stories of one project share characters and styles.', newProject: 'A new project', text: 'The story', textHint: 'Paste it as it is. Quotation marks become speech bubbles.',
    words: (words: number) => count(words, 'word', 'words'), style: 'Style of the pictures', scenes: 'Scenes at most', panels: 'Panels in a scene', panelsAuto: 'As the text needs',
    by: 'Who plans it', offline: 'Rules', offlineHint: 'Within seconds, without a language model: scenes by paragraphs, speech by quotation marks.', model: 'The language model', modelHint: 'Writes a script first, and tests it. It takes minutes, and needs a model that follows instructions; where none does, the page says so and you can go on by rules.',
    depth: 'How far', full: 'Scenes, cast and the plan of each scene', castOnly: 'Scenes and cast; I plan each scene myself',
    go: 'Make the scenes', estimate: 'What comes of it', estimated: (scenes: number, seconds: number) => `About ${count(scenes, 'scene', 'scenes')}, ${seconds} seconds to read.`,
    statuses: { ok: '', too_short: 'This is short for an episode; it works all the same.', too_long: 'This is long for one episode: it is cut into at most as many scenes as you say.' } as Record<string, string>,
    next: 'What happens next', steps: ['The text is cut into scenes, and its characters are found.', 'Each scene is planned: what its panels show, how the page is laid out, who says what.', 'You look it over, then draw. Nothing is drawn yet.'],
    kept: 'What you write here is kept in this browser.', again: 'Add more scenes from a text', over: (most: number) => `More than ${most.toLocaleString()} characters; shorten it.`,
  },
  making: {
    title: 'The story is being made', step: (at: number, of: number) => `Step ${at} of ${of}`, cancel: 'Cancel', cancelled: 'Cancelled. What was made until then is kept.', waits: 'It waits for its turn; other work runs first.',
    close: 'You may close this page: it goes on.', failed: 'The story was not finished', failedAt: (node: string) => `It stopped at: ${node}.`, retry: 'Try again', retryOffline: 'Try again by rules', planRest: 'Plan the scenes that have no plan',
    kept: (scenes: number) => (scenes ? `${count(scenes, 'scene', 'scenes')} are there and stay.` : 'Nothing was lost: your text is still here.'), lostText: 'The text is no longer in this browser; paste it again.',
    gate: 'The plan could be better', gateText: 'The check of the plan was not passed, and the plan is kept. Look at the scenes, change what is unclear, or plan them again.', done: 'The scenes are there.',
    nodes: {
      Queued: 'waiting for its turn', ValidateStoryInputs: 'checking the request', StoryPopulator: 'reading the story', LLMCharacterExtractor: 'finding the characters',
      LLMCharacterProfileNormalizer: 'describing the characters', WebtoonScriptWriter: 'writing the script', SceneSplitter: 'cutting the text into scenes', StudioDirector: 'cutting the script into scenes',
      PersistStoryBundle: 'keeping scenes and characters', LLMVisualPlanCompiler: 'deciding what each scene shows', PerScenePlanningLoop: 'planning the scenes one by one',
      BlindTestRunner: 'reading the panels without the text', BlindTestCritic: 'judging the whole', LLMSceneIntent: 'understanding the scene', LLMPanelPlan: 'planning the panels', LLMPanelSemantics: 'describing the panels',
      RenderSpec: 'writing what is drawn', RenderPanel: 'drawing a panel', RenderResult: 'keeping the pictures', QCCheck: 'checking the plan', LoadArtifacts: 'reading the plan',
    } as Record<string, string>,
  },
  settings: {
    title: 'Title', style: 'Style of scenes without one of their own', delete: 'Delete this story', deleteTitle: 'Delete this story?', deleteText: 'Its scenes, plans, pictures of panels and episodes go for good. Characters stay with the project.',
    bundle: 'The project as one file', bundleText: 'Everything of the project with its pictures, to be kept, or taken in by another server.', bundleMake: 'Make the file', packing: 'Packing …',
  },
  scenes: {
    scene: (number: number) => `Scene ${number}`, list: 'Scenes of this story', add: 'Add a scene', addText: 'What happens in it', more: 'More scenes from a text',
    plan: 'Plan it', planAgain: 'Plan it again', draw: 'Draw it', drawAgain: 'Draw it again', planAll: (scenes: number) => `Plan ${count(scenes, 'scene', 'scenes')}`, drawAll: (scenes: number) => `Draw ${count(scenes, 'scene', 'scenes')}`,
    by: 'Planned by', byRules: 'rules', byModel: 'the language model', notPlanned: 'No plan yet', notDrawn: 'Planned, not drawn', drawn: 'Drawn', approved: 'Approved', locked: 'Plan locked',
    waits: 'waits', plansNow: 'is being planned', drawsNow: 'is being drawn', failed: (why: string) => `Failed: ${why}`, page: (name: string) => `Page of ${name}`, noPage: 'No page yet',
    importance: 'How much it matters', noImportance: 'By the text', importances: {
      setup: 'Setup', build: 'Build-up', climax: 'Climax', release: 'Release', cliffhanger: 'Cliffhanger', critical: 'Critical', high: 'High', medium: 'Medium', low: 'Low',
    } as Record<string, string>,
    text: 'What happens', style: 'Style', styleOfStory: 'As the story', lock: 'Lock the plan', lockHint: 'A locked plan stays as it is; drawing goes on.', delete: 'Delete this scene', deleteTitle: 'Delete this scene?',
    deleteText: 'Its plan, its pictures and its bubbles go for good.', letter: 'Letter this page', previous: 'Previous scene', next: 'Next scene', gone: 'This scene is not here.', back: 'All scenes',
    stale: (panels: number) => `${count(panels, 'panel was', 'panels were')} drawn from what has changed since`, staleDraw: (panels: number) => `Draw ${panels === 1 ? 'this panel' : `these ${panels} panels`} again`,
    staleDrawAll: (panels: number) => `Draw all ${panels} of the story again`,
    staleHint: 'The others keep their pictures, and each keeps its seed.', panelOf: (scene: number, panel: number) => `Scene ${scene}, panel ${panel}`, staleMark: (panels: number) => `${count(panels, 'panel', 'panels')} out of date`,
    check: 'What the check of the plan noticed', checkText: 'It is drawn all the same; change the panels or plan the scene again to better it.', hint: (hint: string) => `Try this: ${hint}.`,
    blind: (share: number) => `Who reads only the panels understands ${share} % of the scene.`,
    why: {
      text: 'what it shows was changed', style: 'the style was changed', environment: 'the place was changed', model: 'another model draws now', character: (name: string) => `${name} was changed`, reference: (name: string) => `${name} has another look or picture`,
    },
  },
  panels: {
    title: 'Panels', panel: (number: number) => `Panel ${number}`, none: 'There is no plan yet: plan the scene to see its panels.', camera: 'Camera', shows: 'What it shows', who: 'Who is in it', says: 'Said in it', edit: 'Change it', again: 'Draw it with another seed',
    unlock: 'The plan is locked: unlock it to change panels.', saved: 'Kept as a new version of the plan. Panels that changed are out of date until they are drawn again.', picture: (number: number) => `Picture of panel ${number}`, noCharacter: 'no character',
  },
  versions: {
    newer: 'A newer version is there.', showNewest: 'Show the newest',
    title: 'Versions', version: (number: number) => `Version ${number}`, none: 'Nothing is drawn yet.', shown: 'Shown', show: 'Show this one', approve: 'Approve', approvedMark: 'Approved', approved: 'Approved: this version is shown.',
    again: 'Draw again with other seeds', reason: 'Why', reasons: { '': 'Simply another try', bad_faces: 'Faces are wrong', bad_mood: 'The mood is wrong', bad_composition: 'The composition is wrong' } as Record<string, string>,
    because: (reason: string) => `drawn again: ${reason.toLowerCase()}`, stale: 'what was out of date', under: 'It is being drawn; the earlier versions stay.',
  },
  artifacts: {
    title: 'All that was made of it', text: 'Every version is kept; none is changed.', version: (number: number) => `version ${number}`, of: 'comes from', first: 'the first of its kind', differences: 'Differences to the version before', same: 'No differences.',
    lineage: 'Where it comes from', content: 'Content', types: {
      scene_intent: 'Intent', visual_plan: 'What must be seen', panel_plan: 'Panels', panel_plan_normalized: 'Panels, made even', layout_template: 'Layout', panel_semantics: 'What panels show', art_direction: 'Light and colour',
      dialogue_suggestions: 'Dialogue', transition_map: 'Transitions', closure_plan: 'What is left to the reader', vertical_rhythm_map: 'Rhythm', metaphor_directions: 'Metaphors', presence_map: 'Who is present', blind_test_report: 'Reading without the text', qc_report: 'Check of the plan', render_spec: 'What is drawn', render_result: 'Pictures',
    } as Record<string, string>,
  },
  letters: {
    title: (number: number) => `Lettering of scene ${number}`, back: 'Back to the scene', page: 'The page with its bubbles', list: 'Layers', order: 'Later ones lie over earlier ones.', none: 'Nothing is said on this page yet.',
    kinds: { chat: 'Speech', thought: 'Thought', narration: 'Narration', sfx: 'Sound' } as Record<string, string>, add: { chat: 'Add speech', thought: 'Add a thought', narration: 'Add narration', sfx: 'Add a sound' } as Record<string, string>,
    empty: { chat: 'Hello!', thought: 'Hm …', narration: 'Meanwhile', sfx: 'Bang!' } as Record<string, string>, suggest: 'Take the lines of the script', noSuggestions: 'The script has no lines that are not here.', suggested: (lines: number) => `${count(lines, 'line is', 'lines are')} here: put them where they belong.`,
    hint: 'Choose a bubble. Drag it, or move it with the arrow keys (Shift: a little); Alt and arrows resize it, Ctrl and arrows move its tail; Enter edits its text, Delete removes it.',
    bubble: (number: number, kind: string, speaker: string, text: string) => `${kind} ${number}${speaker ? `, ${speaker}` : ''}: ${text}`, chosen: 'The chosen bubble', text: 'Text', kind: 'What it is', speaker: 'Who says it', tail: 'With a tail',
    x: 'Left, %', y: 'Top, %', w: 'Width, %', h: 'Height, %', tailX: 'Tail across, %', tailY: 'Tail down, %', higher: (number: number) => `Layer ${number} over the next`, lower: (number: number) => `Layer ${number} under the one before`,
    tight: 'Too much text for its size: it is drawn larger.', kept: 'What you had not saved is here again.', keptOver: 'What you had not saved is here again; meanwhile the bubbles were changed in another window.', tooMany: (most: number) => `A page takes ${most} bubbles.`,
  },
  episodes: {
    emptyTitle: 'No episodes yet', emptyText: 'An episode puts drawn scenes in an order: one long strip to read, to export and to share by a link.', new: 'New episode', make: 'Make the episode', title: 'Title', name: (number: number) => `Episode ${number}`,
    begins: (scenes: number) => (scenes ? `It begins with ${count(scenes, 'scene that is', 'scenes that are')} drawn, in the story’s order.` : 'No scene is drawn yet; you can add them later.'), scenes: (scenes: number) => count(scenes, 'scene', 'scenes'),
    gone: 'This episode is not here.', back: 'All episodes', order: 'Scenes in order', orderHint: 'Drag them, or use the arrows.', up: (name: string) => `Move ${name} up`, down: (name: string) => `Move ${name} down`, leave: (name: string) => `Take ${name} out`,
    take: (name: string) => `Add ${name}`, noScenes: 'No scenes in it yet.', undrawn: (names: string) => `Not drawn yet: ${names}. An export needs all pages.`, strip: 'The strip', deleteTitle: 'Delete this episode?', deleteText: 'Its exports and its link go for good. Its scenes stay.',
  },
  exports: {
    title: 'Exports', kind: 'As', format: 'Format', width: 'Width, px', shape: 'Shape', make: 'Export', none: 'Nothing exported yet.', fetch: 'Download', remove: (name: string) => `Delete the export: ${name}`,
    kinds: { strip: 'One long strip', slices: 'Slices for webtoon sites', frames: 'Pictures of one shape', cbz: 'Comic book (CBZ)', pdf: 'PDF', film: 'Film (MP4)' } as Record<string, string>,
    hints: {
      strip: 'One picture to scroll, with more room after scenes that matter more.', slices: '800 × 1280 pixels each, at most 2 MB, together at most 20 MB.', frames: 'One picture for each scene, for places that want squares or portraits.',
      cbz: 'For comic readers, with a table of what it is.', pdf: 'A page for each scene.', film: '720 × 1280; bubbles come one after the other.',
    } as Record<string, string>,
    states: { queued: 'Waits', processing: 'Is being made', completed: 'Ready', failed: 'Failed' } as Record<string, string>,
    link: 'Link to read it', noLink: 'A page that everybody who has its address can read, on a phone as well, without an account.', makeLink: 'Make a link', linkWaits: 'Its pictures are being made …', linkText: 'Everybody who has this address can read the episode as it was when the link was made.',
    linkAgain: 'Link to how it is now', linked: 'The link is there.', address: 'Address', read: 'Read it', revoke: 'Take it back', revoked: 'The link opens nothing from now on.',
  },
}
