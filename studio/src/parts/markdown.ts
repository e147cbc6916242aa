/** What a model says, as safe HTML. */
import DOMPurify from 'dompurify'
import { marked } from 'marked'

marked.use({ breaks: true, gfm: true })
DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank')
    node.setAttribute('rel', 'noopener noreferrer')
  }
})

/** No pictures and no styles: what is said must not make the page ask another host. */
const OPTIONS = { FORBID_TAGS: ['img', 'style', 'form', 'input', 'button', 'video', 'audio', 'iframe'], FORBID_ATTR: ['style', 'class', 'id'] }

export function html(text: string): string {
  return DOMPurify.sanitize(marked.parse(text, { async: false }), OPTIONS)
}
