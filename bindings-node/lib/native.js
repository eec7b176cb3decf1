'use strict'
// Loads the addon of this platform: next to this package where it was built or came with it, or from a package of its own.

const { existsSync } = require('node:fs')
const path = require('node:path')

function isMusl() {
  if (process.platform !== 'linux') return false
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime === undefined
}

const abi = { linux: isMusl() ? '-musl' : '-gnu', win32: '-msvc' }[process.platform] ?? ''
const platform = `${process.platform}-${process.arch}${abi}`
const here = path.join(__dirname, '..', 'native', `ksem.${platform}.node`)

function load() {
  if (existsSync(here)) return require(here)
  try {
    return require(`@ksem/${platform}`)
  } catch (cause) {
    throw new Error(`ksem has no addon for ${platform}: neither ${here} nor the package @ksem/${platform} is there`, { cause })
  }
}

module.exports = load()
