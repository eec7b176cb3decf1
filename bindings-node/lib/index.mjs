import ksem from './index.js'

export const { KsemError, Pipeline, errorCodes, open, setLog, version } = ksem
