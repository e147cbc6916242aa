/** Outlines of bubbles as the server draws them: superellipses with a tail, clouds with a trail, boxes. */
import type { Kind, Point } from '../../server/webtoon_letters'

/** A box in pixels of the page. */
export interface Box {
  x: number
  y: number
  w: number
  h: number
}

/** How far the sides are from an ellipse to a rectangle. */
const SQUARENESS = 2.6
/** Half the width of a tail where it leaves, as an angle. */
const TAIL = 0.16
const BUMPS = 9
const BUMP = 0.07
const POINTS = 96

/** The part of a bubble's sides that its text may take. */
export const textShare = (kind: Kind): number => ({ chat: 0.5 ** (1 / SQUARENESS) * 0.97, thought: 0.5 ** (1 / SQUARENESS) * (1 - BUMP), narration: 0.92, sfx: 1 })[kind]

const power = (side: number, exponent: number) => Math.sign(side) * Math.abs(side) ** exponent
const middle = (box: Box): Point => ({ x: box.x + box.w / 2, y: box.y + box.h / 2 })

function at(box: Box, angle: number): Point {
  const { x, y } = middle(box)
  return { x: x + (power(Math.cos(angle), 2 / SQUARENESS) * box.w) / 2, y: y + (power(Math.sin(angle), 2 / SQUARENESS) * box.h) / 2 }
}

function towards(box: Box, to: Point): number {
  const { x, y } = middle(box)
  return Math.atan2(power((to.y - y) / box.h, SQUARENESS / 2), power((to.x - x) / box.w, SQUARENESS / 2))
}

function isWithin(box: Box, to: Point): boolean {
  const { x, y } = middle(box)
  const part = (away: number, side: number) => ((2 * Math.abs(away)) / side) ** SQUARENESS
  return part(to.x - x, box.w) + part(to.y - y, box.h) <= 1
}

/** The path of a bubble; of a sound none. */
export function outline(kind: Kind, box: Box, given: Point | null): string {
  if (kind === 'sfx') return ''
  if (kind === 'narration') return `M${box.x} ${box.y}h${box.w}v${box.h}h${-box.w}Z`
  const tail = kind === 'chat' && given && !isWithin(box, given) ? given : null
  const [from, round] = tail ? [towards(box, tail) + TAIL, 2 * Math.PI - 2 * TAIL] : [-Math.PI / 2, 2 * Math.PI]
  const { x, y } = middle(box)
  const points = Array.from({ length: POINTS + 1 }, (_, number) => {
    const angle = from + (round * number) / POINTS
    const part = kind === 'thought' ? 1 - BUMP + BUMP * Math.abs(Math.sin((angle * BUMPS) / 2)) : 1
    const edge = at(box, angle)
    return `${(x + (edge.x - x) * part).toFixed(1)} ${(y + (edge.y - y) * part).toFixed(1)}`
  })
  return `M${points.join('L')}${tail ? `L${tail.x} ${tail.y}` : ''}Z`
}

/** Circles from a thought to who thinks it. */
export function trail(box: Box, tail: Point | null): { x: number; y: number; r: number }[] {
  if (!tail || isWithin(box, tail)) return []
  const from = at(box, towards(box, tail))
  const largest = Math.min(box.w, box.h) * 0.09
  return [[0.25, 1], [0.6, 0.7], [0.92, 0.45]].map(([part, size]) => ({ x: from.x + (tail.x - from.x) * part, y: from.y + (tail.y - from.y) * part, r: largest * size }))
}
