'use strict'
// What a handler sends, in one piece of bytes that crosses once, at the end. `src/output.rs` reads it and says how it is laid out.

const { Buffer } = require('node:buffer')
const { misuse } = require('./error.js')

const TOPIC = 0
const SEND = 1
const FORWARD = 2
const FORWARD_ALL = 3
const RETRY = 4
const DEAD_LETTER = 5
const SKIP = 6
const PARTITION = 1
const TIMESTAMP = 2
const HEADERS = 4
const MOST_PARTITION = 0x7fffffff

// Pieces that are free again: a large batch would spend more time on making one than on filling it.
const free = []
const KEPT_PIECES = 8
const KEPT_BYTES = 16 * 1024 * 1024

class Output {
  #piece
  #view
  #at = 0
  #topic = null
  #count = 0
  #records

  constructor(records) {
    this.#records = records
    this.#use(free.pop() ?? Buffer.allocUnsafeSlow(64 * 1024))
  }

  // How many records were sent.
  get length() {
    return this.#count
  }

  send(topic, key, value, options) {
    const start = this.#begin(topic)
    try {
      this.#record(key, value, options)
    } catch (error) {
      // A record that is refused leaves nothing, so a handler may catch that.
      this.#at = start
      throw error
    }
    this.#count++
  }

  sendMany(topic, values, keys) {
    if (keys != null && keys.length !== values.length) {
      throw new RangeError(`${values.length} values and ${keys.length} keys`)
    }
    const start = this.#begin(topic)
    try {
      for (let i = 0; i < values.length; i++) this.#record(keys?.[i], values[i])
    } catch (error) {
      this.#at = start
      throw error
    }
    this.#count += values.length
  }

  forward(topic, index) {
    this.#check(index)
    this.#begin(topic)
    this.#reserve(5)
    this.#byte(FORWARD)
    this.#integer(index)
    this.#count++
  }

  forwardAll(topic) {
    this.#begin(topic)
    this.#reserve(1)
    this.#byte(FORWARD_ALL)
    this.#count += this.#records
  }

  retry(index) {
    this.#verdict(RETRY, index)
  }

  deadLetter(index, reason) {
    if (typeof reason !== 'string') throw new TypeError(`the reason is ${described(reason)}, not a string`)
    this.#verdict(DEAD_LETTER, index)
    this.#bytes(reason, 'reason')
  }

  skip(index) {
    this.#verdict(SKIP, index)
  }

  // Takes what was sent and ends the output.
  static take(output) {
    const sent = output.#piece.subarray(0, output.#at)
    Output.end(output)
    return sent
  }

  // Ends the output. Its piece may be used again, so what was taken has to cross before the next handler is called.
  static end(output) {
    const piece = output.#piece
    output.#piece = null
    if (piece !== null && piece.length <= KEPT_BYTES && free.length < KEPT_PIECES) free.push(piece)
  }

  #check(index) {
    if (!Number.isInteger(index) || index < 0 || index >= this.#records) {
      throw new RangeError(`record ${index} of a batch of ${this.#records}`)
    }
  }

  #verdict(verdict, index) {
    this.#check(index)
    this.#open()
    this.#reserve(5)
    this.#byte(verdict)
    this.#integer(index)
  }

  #open() {
    if (this.#piece === null) throw misuse('the handler has ended; send before that, and wait for what it calls')
  }

  // Notes the topic, if it is another one, and returns where the entry begins.
  #begin(topic) {
    this.#open()
    if (topic !== this.#topic) {
      if (typeof topic !== 'string') throw new TypeError(`the topic is ${described(topic)}, not a string`)
      this.#reserve(1)
      this.#byte(TOPIC)
      this.#bytes(topic, 'topic')
      this.#topic = topic
    }
    return this.#at
  }

  #record(key, value, options) {
    if (value === undefined) throw new TypeError('the value is undefined; a tombstone is null')
    this.#reserve(2)
    this.#byte(SEND)
    const flags = this.#at
    this.#byte(0)
    this.#bytes(key, 'key')
    this.#bytes(value, 'value')
    if (options != null) {
      // The piece may be another one then.
      const set = this.#options(options)
      this.#piece[flags] = set
    }
  }

  #options({ partition, timestamp, headers }) {
    let flags = 0
    this.#reserve(16)
    if (partition != null) {
      if (!Number.isInteger(partition) || partition < 0 || partition > MOST_PARTITION) {
        throw new RangeError(`the partition is ${described(partition)}, not a number from 0`)
      }
      this.#integer(partition)
      flags |= PARTITION
    }
    if (timestamp != null) {
      const time = timestamp instanceof Date ? timestamp.getTime() : timestamp
      if (!Number.isSafeInteger(time)) {
        throw new RangeError(`the timestamp is ${described(time)}, not an integer of milliseconds`)
      }
      this.#view.setFloat64(this.#at, time, true)
      this.#at += 8
      flags |= TIMESTAMP
    }
    if (headers != null) {
      const pairs = typeof headers[Symbol.iterator] === 'function' ? [...headers] : Object.entries(headers)
      this.#integer(pairs.length)
      for (const [name, value] of pairs) {
        if (typeof name !== 'string') throw new TypeError(`the header's name is ${described(name)}, not a string`)
        this.#bytes(name, 'name')
        this.#bytes(value, 'header')
      }
      flags |= HEADERS
    }
    return flags
  }

  #bytes(value, what) {
    if (value == null) {
      this.#reserve(4)
      this.#integer(-1)
    } else if (typeof value === 'string') {
      // UTF-8 has at most three bytes for what is one unit in JavaScript.
      this.#reserve(4 + value.length * 3)
      const length = this.#piece.write(value, this.#at + 4)
      this.#integer(length)
      this.#at += length
    } else if (value instanceof Uint8Array) {
      this.#reserve(4 + value.length)
      this.#integer(value.length)
      this.#piece.set(value, this.#at)
      this.#at += value.length
    } else {
      throw new TypeError(`the ${what} is ${described(value)}, not a string, a Uint8Array (such as a Buffer) or null`)
    }
  }

  #byte(byte) {
    this.#piece[this.#at++] = byte
  }

  #integer(integer) {
    this.#view.setInt32(this.#at, integer, true)
    this.#at += 4
  }

  #reserve(bytes) {
    const needed = this.#at + bytes
    if (needed <= this.#piece.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#piece.length * 2))
    this.#piece.copy(larger, 0, 0, this.#at)
    this.#use(larger)
  }

  #use(piece) {
    this.#piece = piece
    this.#view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength)
  }
}

function described(value) {
  if (value === null || typeof value !== 'object') return typeof value === 'string' ? JSON.stringify(value) : String(value)
  return `a ${value.constructor?.name ?? 'object'}`
}

// Records as `publish` takes them.
function packed(records) {
  const output = new Output(0)
  try {
    for (const { topic, key, value, ...options } of records) output.send(topic, key, value, options)
  } catch (error) {
    Output.end(output)
    throw error
  }
  return Output.take(output)
}

module.exports = { Output, packed }
