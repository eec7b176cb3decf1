// Writes lib/native.d.ts from what the macros have found in src/, or says whether it is up to date (--check).
//
//   node scripts/types.mjs FOLDER [--check]      FOLDER: target/release/ksem-node-types

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { generateTypeDef } from '@napi-rs/cli'

const header = `// Made from src/ by scripts/types.mjs. What the package exports is in index.d.ts and testing.d.ts.
import type { ErrorClass, ErrorOutcome, ErrorRetry, Guarantee, LogLevel } from './index.js'

`
const [typeDefDir, check] = process.argv.slice(2)
const file = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..', 'lib', 'native.d.ts')

// Every compilation of the crate adds what it has found, a line each: the library, its tests, clippy.
const once = await mkdtemp(path.join(os.tmpdir(), 'ksem-node-types-'))
for (const name of await readdir(typeDefDir)) {
  const lines = (await readFile(path.join(typeDefDir, name), 'utf8')).split('\n')
  await writeFile(path.join(once, name), [...new Set(lines)].join('\n'))
}
const { dts } = await generateTypeDef({ typeDefDir: once, cwd: process.cwd(), dtsHeader: header })
await rm(once, { recursive: true })
if (check === '--check') {
  const committed = await readFile(file, 'utf8').catch(() => '')
  if (committed !== dts) {
    console.error('lib/native.d.ts differs from src/: run `npm run types`')
    process.exitCode = 1
  }
} else {
  await writeFile(file, dts)
}
