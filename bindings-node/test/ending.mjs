// A process that has to end by itself.

import { open, setLog } from 'ksem'

const [bootstrap, mode] = process.argv.slice(2)
if (mode.includes('log')) setLog(() => {}, 'trace')
const pipe = await open({ group: `ending-${mode}`, inputs: ['ending'], kafka: { 'bootstrap.servers': bootstrap } })
if (mode === 'polling-log') await pipe.poll(100)
if (mode === 'closed' || mode === 'log') await pipe.close()
console.log('the end')
if (mode === 'exit') process.exit(0)
