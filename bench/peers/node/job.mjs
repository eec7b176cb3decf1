// What the bench says, as JSON in the last argument, and what it is told.

export const job = JSON.parse(process.argv.at(-1))
export const exactlyOnce = job.contestant.guarantee === 'exactly_once'

let done = false
let benchIsGone
const gone = new Promise(resolve => (benchIsGone = resolve))
process.stdin.on('end', () => (done ? benchIsGone() : process.exit(1)))
process.stdin.resume()

// Counts records, and says when the next commit is due.
class Pace {
  batch = job.contestant.cadence.records ?? Infinity
  interval = job.contestant.cadence.ms ?? Infinity
  seen = 0
  taken = 0
  first = 0
  last = 0
  retried = 0

  // How many more records this commit may hold.
  get room() {
    return this.batch - this.taken
  }

  get late() {
    return this.first > 0 && performance.now() - this.last >= this.interval
  }

  get due() {
    return this.taken > 0 && (this.taken >= this.batch || this.seen >= job.records || this.late)
  }

  get atTheEnd() {
    return this.taken === 0 && this.seen >= job.records
  }

  took(records) {
    if (this.first === 0) {
      this.first = this.last = performance.now()
    }
    this.taken += records
    this.seen += records
  }

  committed() {
    this.taken = 0
    this.last = performance.now()
  }

  aborted() {
    this.seen -= this.taken
    this.retried += 1
    this.committed()
  }
}

export const pace = new Pace()

// Prints the result, and waits until the bench has read what it wants to know about this process. `beside` is what
// else was measured, by name.
export async function report(beside = {}) {
  done = true
  const result = {
    first_unix_us: Math.round((performance.timeOrigin + pace.first) * 1000),
    elapsed_s: (pace.last - pace.first) / 1000,
    retried: pace.retried,
    beside
  }
  process.stdout.write(JSON.stringify(result) + '\n')
  await gone
  process.exit(0)
}
