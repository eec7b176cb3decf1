import testing from './testing.js'

export const { Broker } = testing
