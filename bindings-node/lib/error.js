'use strict'

const native = require('./native.js')

class KsemError extends Error {
  constructor({ code, number, class: kind, retry, outcome, message, context }, options) {
    super(message, options)
    this.code = code
    this.number = number
    this.class = kind
    this.retry = retry
    this.outcome = outcome
    this.context = context ?? {}
  }
}
// Not enumerable, as the name of every built-in error.
Object.defineProperty(KsemError.prototype, 'name', { value: 'KsemError', configurable: true, writable: true })

const errorCodes = Object.freeze(native.errorCodes().map(Object.freeze))

// An error that JavaScript finds itself has the same row of the table.
function misuse(message) {
  const row = errorCodes.find(({ code }) => code === 'misuse')
  return new KsemError({ ...row, message })
}

// What handlers of one `process` or `run` have thrown, by number: the core carries the number, and the object comes back with
// its own stack. Failures that were followed by a success are forgotten by and by.
class Failures {
  #thrown = new Map()
  #next = 1

  add(thrown) {
    const number = this.#next++
    this.#thrown.set(number, thrown)
    if (this.#thrown.size > 256) this.#thrown.delete(this.#thrown.keys().next().value)
    return number
  }

  get(number) {
    return this.#thrown.get(number)
  }

  get last() {
    return this.#thrown.get(this.#next - 1)
  }
}

// Makes a KsemError of an error of the addon, which describes it in JSON.
function translated(error, failures) {
  if (!(error instanceof Error) || !error.message.startsWith('{')) return error
  return made(JSON.parse(error.message), failures)
}

function made(description, failures) {
  const { cause } = description
  if (cause === null) return new KsemError(description)
  if ('thrown' in cause) return new KsemError(description, { cause: failures?.get(cause.thrown) })
  if ('text' in cause) return new KsemError(description, { cause: new Error(cause.text) })
  return new KsemError(description, { cause: made(cause, failures) })
}

// Calls the addon with a function that takes the answer; an async function, so that a stack shows who has called.
async function answered(call, failures) {
  try {
    return await new Promise((resolve, reject) => {
      call((error, value) => (error ? reject(error) : resolve(value)))
    })
  } catch (error) {
    throw translated(error, failures)
  }
}

// Calls the addon where the answer is there at once.
function called(call) {
  try {
    return call()
  } catch (error) {
    throw translated(error)
  }
}

module.exports = { KsemError, Failures, answered, called, errorCodes, misuse }
