// Writes the row types of the tables that the page uses: playhouse schema | node types.mjs > src/server/tables.ts
const used = [
  'api_models', 'api_provider_balances', 'api_providers', 'audit_logs', 'books', 'chapters', 'character_portraits', 'character_scenes', 'characters', 'conversations', 'enhancement_presets', 'exports', 'jobs',
  'messages', 'motion_presets', 'negative_prompts', 'profiles', 'prompt_ab_tests', 'prompt_templates', 'scripts', 'stories', 'storyboard_clips', 'storyboard_projects', 'storyboard_renders', 'storyboard_scenes', 'usage_logs', 'user_collections', 'user_library', 'user_roles', 'workspace_assets',
]
let text = ''
for await (const piece of process.stdin) text += piece
const kinds = {
  uuid: 'string', text: 'string', varchar: 'string', timestamptz: 'string', date: 'string', time: 'string', inet: 'string',
  int2: 'number', int4: 'number', int8: 'number', numeric: 'number', float4: 'number', float8: 'number',
  bool: 'boolean', jsonb: 'Json', json: 'Json',
}
const kind = (type) => {
  if (type.endsWith('[]')) return `${kind(type.slice(0, -2))}[]`
  return kinds[type] ?? 'string'
}
const lines = [
  '// Made from the declared tables by types.mjs; not edited by hand.',
  'export type Json = any',
  '',
]
for (const table of JSON.parse(text).filter((table) => used.includes(table.name))) {
  const name = table.name.replace(/(^|_)(\w)/g, (_, __, letter) => letter.toUpperCase())
  lines.push(`export interface ${name} {`)
  for (const column of table.columns) {
    lines.push(`  ${column.name}: ${kind(column.type)}${column.nullable ? ' | null' : ''}`)
  }
  lines.push('}', '')
}
console.log(lines.join('\n').trimEnd())
