import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig, type Plugin } from 'vite'

/** Writes each text file also as brotli and gzip: the server only picks one. */
function compressed(): Plugin {
  let folder = ''
  return {
    name: 'compressed',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir)
    },
    closeBundle() {
      for (const file of readdirSync(folder, { recursive: true }) as string[]) {
        if (!/\.(html|js|css|svg|webmanifest)$/.test(file)) continue
        const bytes = readFileSync(join(folder, file))
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11 }
        writeFileSync(join(folder, `${file}.br`), brotliCompressSync(bytes, { params }))
        writeFileSync(join(folder, `${file}.gz`), gzipSync(bytes, { level: 9 }))
      }
    },
  }
}

// `npm run dev` shows the sources, and asks a server that runs beside it.
const server = process.env.PLAYHOUSE_URL ?? 'http://127.0.0.1:54321'
const paths = ['/rest', '/auth', '/storage', '/functions', '/realtime', '/v1', '/health', '/studio']

export default defineConfig({
  plugins: [svelte(), compressed()],
  build: { license: { fileName: 'licenses.md' }, target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(paths.map((path) => [path, { target: server, ws: path === '/realtime' }])),
  },
})
