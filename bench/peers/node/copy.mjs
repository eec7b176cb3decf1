// Copies a topic with @platformatic/kafka: reads its stream, sends what is there, and commits; or the same in
// transactions.

import { Consumer, MessagesStreamFallbackModes, MessagesStreamModes, ProduceAcks, Producer } from '@platformatic/kafka'
import { exactlyOnce, job, pace, report } from './job.mjs'

// A request takes at most so many records: a batch of a partition has to stay below the broker's limit.
const MOST = 10_000

const settings = Object.fromEntries(Object.entries(job.settings).map(([name, value]) => [name, Number(value)]))
const { highWaterMark, maxWaitTime, ...client } = settings
const options = { clientId: 'ksem-bench', bootstrapBrokers: [job.bootstrap], ...client }
const producer = new Producer({
  ...options,
  idempotent: true,
  acks: ProduceAcks.ALL,
  ...(exactlyOnce && { transactionalId: job.group })
})
const consumer = new Consumer({ ...options, groupId: job.group, autocommit: false })

async function open() {
  return consumer.consume({
    topics: [job.input],
    autocommit: false,
    mode: MessagesStreamModes.COMMITTED,
    fallbackMode: MessagesStreamFallbackModes.EARLIEST,
    highWaterMark,
    maxWaitTime
  })
}

// As many messages as this commit may hold, or what comes until it is due.
async function take(input) {
  const messages = []
  const most = Math.min(pace.room, MOST, job.records - pace.seen)
  while (messages.length < most && !(pace.late && messages.length > 0)) {
    const { value, done } = await input.next()
    if (done) {
      throw new Error('the stream has ended')
    }
    messages.push(value)
  }
  pace.took(messages.length)
  return messages
}

const copies = messages =>
  messages.map(({ key, value, timestamp }) => ({ topic: job.output, key, value, timestamp }))

// The last message of each partition.
function lastOf(messages, last) {
  for (const message of messages) {
    last.set(message.partition, message)
  }
}

async function atLeastOnce(stream) {
  const input = stream[Symbol.asyncIterator]()
  const last = new Map()
  while (!pace.atTheEnd) {
    const messages = await take(input)
    lastOf(messages, last)
    await producer.send({ messages: copies(messages) })
    if (pace.due) {
      const offsets = [...last.values()].map(({ topic, partition, offset, leaderEpoch }) => ({
        topic,
        partition,
        offset: offset + 1n,
        leaderEpoch
      }))
      await consumer.commit({ offsets })
      pace.committed()
      last.clear()
    }
  }
  return stream
}

async function exactlyOnceFrom(stream) {
  let input = stream[Symbol.asyncIterator]()
  while (!pace.atTheEnd) {
    let transaction
    try {
      const last = new Map()
      while (!pace.due) {
        const messages = await take(input)
        transaction ??= await producer.beginTransaction()
        lastOf(messages, last)
        await transaction.send({ messages: copies(messages) })
      }
      await transaction.addConsumer(consumer)
      for (const message of last.values()) {
        await transaction.addOffset(message)
      }
      await transaction.commit()
      pace.committed()
    } catch (error) {
      console.error('aborting:', error)
      await transaction?.abort()
      pace.aborted()
      if (pace.retried > 10) {
        throw error
      }
      // Back to the committed offsets.
      await stream.close()
      stream = await open()
      input = stream[Symbol.asyncIterator]()
    }
  }
  return stream
}

const stream = await (exactlyOnce ? exactlyOnceFrom : atLeastOnce)(await open())
await stream.close()
await consumer.close()
await producer.close()
await report()
