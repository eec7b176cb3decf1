'use strict'

const native = require('./native.js')
const { called } = require('./error.js')

// This environment's sink: a worker thread has one of its own.
let current = null

// Hands ksem's log records to the function; null takes it away. It does not keep the event loop alive.
function setLog(write, level = 'info') {
  if (write != null && typeof write !== 'function') throw new TypeError('the log goes to a function, or to null')
  const next = write == null ? null : called(() => native.addLog((record) => void write(record), level))
  if (current !== null) native.removeLog(current)
  current = next
}

module.exports = { setLog }
