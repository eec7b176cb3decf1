'use strict'
// Loads the addon of this platform, which comes with the package.

const path = require('node:path')

function isMusl() {
  if (process.platform !== 'linux') return false
  process.report.excludeNetwork = true
  return process.report.getReport().header.glibcVersionRuntime === undefined
}

const abi = { linux: isMusl() ? '-musl' : '-gnu', win32: '-msvc' }[process.platform] ?? ''
const platform = `${process.platform}-${process.arch}${abi}`

try {
  module.exports = require(path.join(__dirname, '..', 'native', `ksem.${platform}.node`))
} catch (cause) {
  throw new Error(`ksem's addon for ${platform} can't be loaded`, { cause })
}
