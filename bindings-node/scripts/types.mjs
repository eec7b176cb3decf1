// Writes lib/native.d.ts from what the macros have found in src/, or says whether it is up to date (--check).
//
//   node scripts/types.mjs FOLDER [--check]      FOLDER: target/release/ksem-node-types

import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { generateTypeDef } from '@napi-rs/cli'

const header = `// Made from src/ by scripts/types.mjs. What the package exports is in index.d.ts and testing.d.ts.
import type { ErrorClass, ErrorOutcome, ErrorRetry, Guarantee, LogLevel } from './index.js'

`
const [typeDefDir, check] = process.argv.slice(2)
const file = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..', 'lib', 'native.d.ts')
const { dts } = await generateTypeDef({ typeDefDir: path.resolve(typeDefDir), cwd: process.cwd(), dtsHeader: header })
if (check === '--check') {
  const committed = await readFile(file, 'utf8').catch(() => '')
  if (committed !== dts) {
    console.error('lib/native.d.ts differs from src/: run `npm run types`')
    process.exitCode = 1
  }
} else {
  await writeFile(file, dts)
}
