import ksem = require('ksem')
import testing = require('ksem/testing')

export async function use(): Promise<number> {
  const broker = await testing.Broker.start()
  const pipe = await ksem.open('pipeline.toml')
  const { length } = await broker.consume('t')
  await pipe.close()
  return length
}
