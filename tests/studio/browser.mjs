// A browser that looks over the shoulder of every journey: errors, requests to other hosts, accessibility, screenshots.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import { deflateSync } from 'node:zlib'
import { chromium } from 'playwright-core'

const { PLAYHOUSE_URL, STUDIO_PICTURES, CHROMIUM = '/usr/bin/chromium' } = process.env
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] })

/** What a browser says of requests and sockets whose server was killed. */
export const LOST = /net::ERR_|Failed to fetch|network error|WebSocket/i

/** What went wrong in any page, and may not. */
export const complaints = []

/** A window of its own, with a session of its own, where nothing is looked at in mid-transition. */
export async function open(width, height = 820, colorScheme = 'dark') {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce', acceptDownloads: true, baseURL: PLAYHOUSE_URL })
  const page = await context.newPage()
  page.setDefaultTimeout(180_000)
  page.forgiven = []
  page.on('console', (message) => {
    if (message.type() !== 'error') return
    const text = `${message.text()} ${message.location().url}`
    if (!page.forgiven.some((pattern) => pattern.test(text))) complaints.push(`console at ${width}: ${text}`)
  })
  page.on('pageerror', (error) => complaints.push(`error at ${width}: ${error.stack}`))
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(PLAYHOUSE_URL) && !url.startsWith('blob:') && !url.startsWith('data:')) complaints.push(`asked ${url}`)
  })
  return page
}

/** A picture of a screen, and what axe-core and the width of the window say about it. */
export async function look(page, name) {
  const width = page.viewportSize().width
  await page.evaluate(() => document.fonts.ready.then(() => {}))
  await page.waitForTimeout(150)
  if (STUDIO_PICTURES) await page.screenshot({ path: `${STUDIO_PICTURES}/${name}-${width}.png` })
  const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
  if (sideways > 0) complaints.push(`${name} at ${width}: scrolls sideways by ${sideways} px`)
  // As a script of the driver: the page's own policy lets in no other.
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }))
  for (const one of violations.filter((one) => ['serious', 'critical'].includes(one.impact))) {
    complaints.push(`${name} at ${width}: ${one.id}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).slice(0, 3).join('; ')}`)
  }
}

/** Does something that writes to a table or function, and waits until the server has answered well. */
export async function kept(page, name, work) {
  const answered = page.waitForResponse((answer) => answer.url().includes(`/${name}`) && answer.request().method() !== 'GET')
  await work()
  const answer = await answered
  assert.ok(answer.ok(), `${name}: ${answer.status()}`)
}

/** Signs in to an account, whose first screen greets it. */
export async function enter(page, email, name, password = 'correct horse') {
  await page.goto('/')
  await page.getByLabel('Mail address').fill(email)
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.getByRole('button', { name: 'Sign in', exact: true }).click()
  await page.getByRole('heading', { name, exact: true }).waitFor()
}

/** A call in the name of the account that is signed in on a page; status and answer. `<me>` in a body is its id. */
export const ask = (page, path, body, method = 'POST') =>
  page.evaluate(async ([path, body, method]) => {
    const session = JSON.parse(localStorage.getItem('playhouse.session'))
    const { anon_key } = await (await fetch('/studio/config.json')).json()
    const headers = { apikey: anon_key, Authorization: `Bearer ${session.access_token}`, 'Content-Type': 'application/json', Prefer: 'return=representation' }
    const answer = await fetch(path, { method, headers, body: body ? JSON.stringify(body).replaceAll('<me>', session.user.id) : undefined })
    return { status: answer.status, body: await answer.json().catch(() => null) }
  }, [path, body, method])

/** A square PNG of one grey with a text, as programs that draw write it. */
export function pngWith(keyword, text, side = 1, grey = 0) {
  const crc = (bytes) => {
    let sum = ~0
    for (const byte of bytes) {
      sum ^= byte
      for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
    }
    return ~sum >>> 0
  }
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data])
    const ends = [Buffer.alloc(4), Buffer.alloc(4)]
    ends[0].writeUInt32BE(data.length)
    ends[1].writeUInt32BE(crc(body))
    return Buffer.concat([ends[0], body, ends[1]])
  }
  const header = Buffer.from([0, 0, 0, side, 0, 0, 0, side, 8, 0, 0, 0, 0])
  const rows = Buffer.concat(Array.from({ length: side }, () => Buffer.from([0, ...Array(side).fill(grey)])))
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]), chunk('IHDR', header), chunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1')),
    chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0)),
  ])
}

export async function check(name, work) {
  const started = Date.now()
  try {
    await work()
    console.log(`ok ${name} (${Date.now() - started} ms)`)
  } catch (error) {
    // The reason comes first: reports of other machines are cut off at some length.
    console.log(`FAILED ${name}: ${error.message}`)
    for (const [at, context] of browser.contexts().entries()) {
      const page = context.pages()[0]
      const seen = await page?.evaluate(() => document.body.innerText.replace(/\s+/g, ' ').slice(0, 1500)).catch(() => '')
      console.log(`window ${at} shows ${page?.url()}: ${seen}`)
      if (STUDIO_PICTURES) await page?.screenshot({ path: `${STUDIO_PICTURES}/failed-${basename(process.argv[1], '.mjs')}-${at}.png` }).catch(() => {})
    }
    console.log(complaints.join('\n'))
    await browser.close()
    throw error
  }
}

export async function report() {
  await browser.close()
  assert.deepEqual(complaints, [])
}
