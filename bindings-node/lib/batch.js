'use strict'

// The global is looked up, and is a getter: it would be called for every record.
const { Buffer } = require('node:buffer')
const { called } = require('./error.js')

const NO_HEADERS = Object.freeze([])

// The byte strings of a column: views on its one piece of memory.
function views({ bytes, lengths }) {
  const { buffer } = bytes
  let at = bytes.byteOffset
  const all = new Array(lengths.length)
  for (let i = 0; i < lengths.length; i++) {
    const length = lengths[i]
    if (length < 0) {
      all[i] = null
    } else {
      all[i] = Buffer.from(buffer, at, length)
      at += length
    }
  }
  return all
}

function paired(column, length) {
  if (!column) return new Array(length).fill(NO_HEADERS)
  const names = views(column.names)
  const values = views(column.values)
  let at = 0
  return Array.from(column.counts, (count) => {
    if (count === 0) return NO_HEADERS
    const headers = new Array(count)
    for (let i = 0; i < count; i++, at++) headers[i] = [names[at].toString(), values[at]]
    return headers
  })
}

class Record {
  constructor(topic, partition, offset, timestamp, key, value, headers) {
    this.topic = topic
    this.partition = partition
    this.offset = offset
    this.timestamp = timestamp
    this.key = key
    this.value = value
    this.headers = headers
  }

  // The last value of the header, as Kafka's own `lastHeader`.
  header(name) {
    return this.headers.findLast(([each]) => each === name)?.[1]
  }
}

class Batch {
  #native
  #columns = new Map()
  #length

  constructor(native) {
    this.#native = native
    this.#length = native.length
  }

  get length() {
    return this.#length
  }

  #column(name, read) {
    let column = this.#columns.get(name)
    if (column === undefined) {
      column = called(() => read(this.#native))
      this.#columns.set(name, column)
    }
    return column
  }

  keys() {
    return this.#column('keys', (native) => views(native.keys()))
  }

  values() {
    return this.#column('values', (native) => views(native.values()))
  }

  headers() {
    return this.#column('headers', (native) => paired(native.headers(), this.#length))
  }

  offsets() {
    return this.#column('offsets', (native) => Array.from(native.offsets()))
  }

  timestamps() {
    return this.#column('timestamps', (native) => Array.from(native.timestamps(), (time) => (Number.isNaN(time) ? null : time)))
  }

  partitions() {
    return this.#column('partitions', () => Array.from(this.#sources().partitions))
  }

  topics() {
    return this.#column('topics', () => {
      const { names, topics } = this.#sources()
      return Array.from(topics, (topic) => names[topic])
    })
  }

  #sources() {
    return this.#column('sources', (native) => native.sources())
  }

  record(index) {
    if (!Number.isInteger(index) || index < 0 || index >= this.#length) {
      throw new RangeError(`record ${index} of a batch of ${this.#length}`)
    }
    return new Record(
      this.topics()[index],
      this.partitions()[index],
      this.offsets()[index],
      this.timestamps()[index],
      this.keys()[index],
      this.values()[index],
      this.headers()[index],
    )
  }

  *[Symbol.iterator]() {
    for (let i = 0; i < this.#length; i++) yield this.record(i)
  }

  // Lets go of a batch that is not processed: it comes again.
  release() {
    this.#native.release()
  }

  // The addon's object of a batch; undefined if it is none.
  static native(batch) {
    return typeof batch === 'object' && batch !== null && #native in batch ? batch.#native : undefined
  }
}

module.exports = { Batch, Record }
