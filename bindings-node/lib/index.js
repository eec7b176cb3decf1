'use strict'

const native = require('./native.js')
const { KsemError, errorCodes } = require('./error.js')
const { setLog } = require('./log.js')
const { Pipeline, open } = require('./pipeline.js')

exports.KsemError = KsemError
exports.Pipeline = Pipeline
exports.errorCodes = errorCodes
exports.open = open
exports.setLog = setLog
exports.version = native.version()
