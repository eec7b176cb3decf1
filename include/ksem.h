/* ksem: at-most-once, at-least-once and exactly-once read-process-write for Kafka.
 *
 * Made by `cargo xtask gen` from bindings-c/src. Changes go there.
 *
 * What holds for every function:
 *
 * - A function that can fail returns KSEM_OK or the error's code. `error`, its last argument, may be NULL; if not, it gets NULL,
 *   or a handle with the details, to be freed with ksem_error_free. Out parameters for handles get NULL unless it succeeds.
 * - What ksem hands out by `*_new`, `*_start`, `*_open_*` or an out parameter is freed once with the `*_free` of its type, whatever
 *   was done with it in between. Handles that are returned as a value belong to the one that they were asked from.
 * - A NULL handle, NULL text and text that is no UTF-8 are errors (KSEM_MISUSE), where NULL is not allowed by name; functions
 *   that can't fail return 0, NULL or an empty array for them. A handle that was freed must not be used.
 * - Texts end with NUL. What a call is given is copied, or not needed after the call.
 * - A pipeline and a broker may be used by several threads at once, any other handle by one at a time.
 * - The numbers of codes and constants never change.
 */

#ifndef KSEM_H
#define KSEM_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header; `ksem_version` returns the library's. */
#define KSEM_VERSION "0.1.0"
/* The same as a number: major * 10000 + minor * 100 + patch. */
#define KSEM_VERSION_NUMBER 100

/* The configuration has problems; each is listed with its line and what to set. */
#define KSEM_CONFIG_INVALID 1001
/* An input topic does not exist. */
#define KSEM_TOPIC_UNKNOWN 1002
/* An output topic does not exist and the cluster does not create it. */
#define KSEM_OUTPUT_TOPIC_MISSING 1003
/* The cluster denies an operation: check the ACLs of the principal. */
#define KSEM_NOT_AUTHORIZED 1004
/* SASL or TLS authentication failed: check credentials and certificates. */
#define KSEM_AUTHENTICATION_FAILED 1005
/* The cluster or the configuration can't give the guarantee that was asked for. */
#define KSEM_GUARANTEE_UNAVAILABLE 1006
/* An output record is not acceptable to the cluster (too large, or invalid). */
#define KSEM_RECORD_INVALID 1007
/* A call was made in a state that does not allow it. */
#define KSEM_MISUSE 1008
/* A server can't listen at the address that was given. */
#define KSEM_LISTEN_DENIED 1009
/* No broker answers at the bootstrap addresses. */
#define KSEM_BROKER_UNAVAILABLE 2001
/* Output records were not acknowledged in time. */
#define KSEM_DELIVERY_FAILED 2002
/* Offsets could not be committed. */
#define KSEM_COMMIT_FAILED 2003
/* The shutdown deadline passed with work in flight; it is processed again after the next start. */
#define KSEM_SHUTDOWN_DEADLINE 2004
/* A newer instance with the same instance id is running. */
#define KSEM_PRODUCER_FENCED 3001
/* The transaction was open for longer than `transactions.timeout_ms` and the coordinator aborted it. */
#define KSEM_TRANSACTION_TIMED_OUT 3002
/* A partition of the batch moved to another member of the consumer group. */
#define KSEM_PARTITION_REVOKED 3003
/* The transaction's outcome could not be learned from the cluster. */
#define KSEM_COMMIT_OUTCOME_UNKNOWN 3004
/* A transactional request failed; the transaction was aborted. */
#define KSEM_TRANSACTION_FAILED 3005
/* The handler failed on a batch as often as `retry.max_attempts` allows. */
#define KSEM_HANDLER_FAILED 4001
/* An at-most-once batch failed after its offsets were committed. */
#define KSEM_BATCH_LOST 4002
/* The caller gave the batch up before its handler had an end; it comes again. */
#define KSEM_HANDLER_CANCELLED 4003
/* A record that keeps failing could not be written to `dead_letter.topic`. */
#define KSEM_DEAD_LETTER_FAILED 4004
/* A record would have been a dead letter more than `dead_letter.max_failures` allows. */
#define KSEM_TOO_MANY_DEAD_LETTERS 4005
/* The handler gave a record up: the code of its dead letter. */
#define KSEM_RECORD_REJECTED 4006
/* The committed offset is no longer in the topic (retention, truncation or a recreated topic). */
#define KSEM_OFFSET_LOST 5001
/* A partition has no committed offset and start_from is "fail". */
#define KSEM_OFFSET_MISSING 5002
/* The handler or ksem panicked. */
#define KSEM_PANIC 9001
/* Something happened that ksem does not expect; please report it. */
#define KSEM_INTERNAL 9002

// The timestamp of a record that has none.
#define KSEM_NO_TIMESTAMP -1

// A batch between begin and commit. Freed without a commit, it is aborted. Used by one thread at a time.
typedef struct ksem_attempt ksem_attempt;

// Input records of one lane. Whoever got one from `ksem_pipeline_poll` frees it, also when it was processed.
typedef struct ksem_batch ksem_batch;

// A Kafka broker inside this process, in memory, for tests. A group has one member at a time, and transactions do not time
// out. Free it with `ksem_broker_free`.
typedef struct ksem_broker ksem_broker;

// An error: what happened, what became of the batch, and what to do. Free it with `ksem_error_free`.
typedef struct ksem_error ksem_error;

// The counters at one moment. Free it with `ksem_metrics_free`.
typedef struct ksem_metrics ksem_metrics;

// Records to send: a handler's, an attempt's, or those for `ksem_pipeline_publish`. Used by one thread at a time.
//
// A call that was made wrongly (NULL, no UTF-8, no such record) is remembered: the batch fails, whether the call's status
// was looked at or not, so that no record is lost silently.
typedef struct ksem_output ksem_output;

// An open pipeline: one member of the consumer group. Several threads may use it at once. Free it with
// `ksem_pipeline_free`, when no call is under way any more.
typedef struct ksem_pipeline ksem_pipeline;

// The report of one batch. Free it with `ksem_report_free`.
typedef struct ksem_report ksem_report;

// `KSEM_OK`, or the code of an error (`KSEM_CONFIG_INVALID` and so on). What a handler returns, too: 0 or anything else.
typedef int32_t ksem_status;

// Frees what was attached to a failure.
typedef void (*ksem_drop)(void *payload);

// Bytes: a key, or a value. NULL `data` is null (of a value: a tombstone), which is not the same as empty.
typedef struct ksem_bytes {
    // The first byte, or NULL.
    const void *data;
    // How many bytes there are.
    size_t len;
} ksem_bytes;

// An input record: views on memory of the batch.
typedef struct ksem_record {
    // The topic that it was read from, with a NUL at its end.
    const char *topic;
    // The partition that it was read from.
    int32_t partition;
    // Its offset. Offsets are sparse: control records and compaction take numbers.
    int64_t offset;
    // Milliseconds since 1970, or `KSEM_NO_TIMESTAMP`.
    int64_t timestamp;
    // The key.
    struct ksem_bytes key;
    // The value.
    struct ksem_bytes value;
} ksem_record;

// The records of a batch; those of one partition come in the order of their offsets.
typedef struct ksem_records {
    // The first one.
    const struct ksem_record *items;
    // How many there are.
    size_t len;
} ksem_records;

// The records of a batch, a column for each part. Each column has `len` items.
typedef struct ksem_columns {
    // How many records there are.
    size_t len;
    // The topics, each with a NUL at its end.
    const char *const *topics;
    // The partitions.
    const int32_t *partitions;
    // The offsets.
    const int64_t *offsets;
    // Milliseconds since 1970, or `KSEM_NO_TIMESTAMP`.
    const int64_t *timestamps;
    // The keys.
    const struct ksem_bytes *keys;
    // The values.
    const struct ksem_bytes *values;
} ksem_columns;

// One header. Names may repeat; a value may be null.
typedef struct ksem_header {
    // The name, with a NUL at its end.
    const char *name;
    // The value.
    struct ksem_bytes value;
} ksem_header;

// The headers of a record, in order.
typedef struct ksem_headers {
    // The first one.
    const struct ksem_header *items;
    // How many there are.
    size_t len;
} ksem_headers;

// An output record with everything that Kafka lets a producer choose. What is left 0 is null, none, or Kafka's choice.
typedef struct ksem_output_record {
    // The key.
    struct ksem_bytes key;
    // The value.
    struct ksem_bytes value;
    // The headers, in order.
    const struct ksem_header *headers;
    // How many headers there are.
    size_t header_count;
    // The partition; NULL lets the key decide, as the Java client does.
    const int32_t *partition;
    // Milliseconds since 1970; NULL is the time of sending.
    const int64_t *timestamp;
} ksem_output_record;

// What became of a batch.
typedef int32_t ksem_applied;

// What is promised about each record.
typedef int32_t ksem_guarantee;

// A position that was committed.
typedef struct ksem_position {
    // The topic, with a NUL at its end.
    const char *topic;
    // The partition.
    int32_t partition;
    // The leader epoch of the record before it; -1 where the broker gave none.
    int32_t leader_epoch;
    // The next offset to read: last processed + 1.
    int64_t offset;
} ksem_position;

// Positions that were committed.
typedef struct ksem_positions {
    // The first one.
    const struct ksem_position *items;
    // How many there are.
    size_t len;
} ksem_positions;

// Handles a batch: reads `batch`, sends to `output`, and returns `KSEM_OK`. Anything else fails the batch, which is tried
// again as `[retry]` of the configuration says; `ksem_output_fail` gives a message to it. `KSEM_HANDLER_CANCELLED` gives
// the batch up without another attempt. Both arguments are valid until the handler returns, and are not to be freed. It
// runs on the thread that called ksem, and must not leave by an exception or `longjmp`.
typedef ksem_status (*ksem_handler)(const struct ksem_batch *batch, struct ksem_output *output, void *user);

// When `ksem_pipeline_run` ends by itself.
typedef int32_t ksem_until;

// How much a log record matters; a lower number matters more.
typedef int32_t ksem_level;

// Takes a log record: one line, without a newline, which lives as long as the call. Any thread may call it, several at once.
typedef void (*ksem_logger)(ksem_level level, const char *line, void *user);

// The call succeeded.
#define KSEM_OK 0

// No input record has two committed effects; what is lost is at most what was in flight.
#define KSEM_AT_MOST_ONCE 0

// Every input record has an effect before its offset is committed.
#define KSEM_AT_LEAST_ONCE 1

// Outputs and input offsets appear together, once, or not at all.
#define KSEM_EXACTLY_ONCE 2

// When it is stopped.
#define KSEM_UNTIL_STOPPED 0

// When the group has committed everything that the inputs had at the start.
#define KSEM_UNTIL_CAUGHT_UP 1

// It took effect and its offsets are committed.
#define KSEM_APPLIED 0

// Its offsets are committed and its effect is missing or partial (at-most-once only).
#define KSEM_LOST 1

// It was not applied; what still belongs to this member comes again with the next poll.
#define KSEM_REDELIVERED 2

// Something failed.
#define KSEM_ERROR 1

// Something was lost, or is tried again.
#define KSEM_WARN 2

// What an operator wants to know.
#define KSEM_INFO 3

// Every step.
#define KSEM_DEBUG 4

// librdkafka's log, too.
#define KSEM_TRACE 5

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the code, such as `KSEM_PRODUCER_FENCED`; `KSEM_OK` for NULL.
ksem_status ksem_error_status(const struct ksem_error *error);

// Returns what happened, what was applied and what to change, without code and context. Lives as long as the error.
const char *ksem_error_message(const struct ksem_error *error);

// Returns one line for logs: code, name, message and context. Lives as long as the error.
const char *ksem_error_text(const struct ksem_error *error);

// Returns the code's name, such as `producer_fenced`.
const char *ksem_error_name(const struct ksem_error *error);

// Returns which part has to change: "config", "unavailable", "transaction", "handler", "data" or "internal".
const char *ksem_error_class(const struct ksem_error *error);

// Returns what to do: "never" (change something first), "retry" (the same call), or "reopen" (a new pipeline).
const char *ksem_error_retry(const struct ksem_error *error);

// Returns what became of the batch: `not_applied`, "applied" or "unknown".
const char *ksem_error_outcome(const struct ksem_error *error);

// Returns how many facts the error has.
size_t ksem_error_context_len(const struct ksem_error *error);

// Returns the name of a fact, such as "batch"; NULL if there is no such one.
const char *ksem_error_context_name(const struct ksem_error *error, size_t index);

// Returns the value of a fact; NULL if there is no such one.
const char *ksem_error_context_value(const struct ksem_error *error, size_t index);

// Returns what the handler returned, if its failure is behind the error; else 0.
ksem_status ksem_error_handler_status(const struct ksem_error *error);

// Returns what the handler gave to `ksem_output_fail`, if its failure is behind the error; else NULL.
const char *ksem_error_handler_message(const struct ksem_error *error);

// Returns what the handler gave to `ksem_output_fail_with`, if it did so with this same `drop`; else NULL. It belongs to
// the error and is dropped with it.
void *ksem_error_payload(const struct ksem_error *error,
                         ksem_drop drop);

// Frees an error. NULL is allowed.
void ksem_error_free(struct ksem_error *error);

// Makes bytes of a text: up to its NUL, which is not a part of them. NULL is null.
struct ksem_bytes ksem_text(const char *text);

// Returns how many records the batch has.
size_t ksem_batch_len(const struct ksem_batch *batch);

// Returns the size of all keys and values in bytes.
size_t ksem_batch_bytes(const struct ksem_batch *batch);

// Returns the lane that the batch belongs to.
size_t ksem_batch_lane(const struct ksem_batch *batch);

// Returns the records: views that live as long as the batch's handle (in a handler: until it returns).
struct ksem_records ksem_batch_records(const struct ksem_batch *batch);

// Returns the records as columns, with the lifetime of `ksem_batch_records`.
struct ksem_columns ksem_batch_columns(const struct ksem_batch *batch);

// Returns the headers of record `index`, with the lifetime of `ksem_batch_records`. None if there is no such record.
struct ksem_headers ksem_batch_headers(const struct ksem_batch *batch, size_t index);

// Frees a batch that came from `ksem_pipeline_poll`. One that was not processed is delivered again. NULL is allowed.
void ksem_batch_free(struct ksem_batch *batch);

// Makes an output for `ksem_pipeline_publish`. A handler is given one, and an attempt has one.
struct ksem_output *ksem_output_new(void);

// Sends a key and a value. They are copied.
ksem_status ksem_output_send(struct ksem_output *output,
                             const char *topic,
                             struct ksem_bytes key,
                             struct ksem_bytes value);

// Sends a record. Everything is copied.
ksem_status ksem_output_send_record(struct ksem_output *output,
                                    const char *topic,
                                    const struct ksem_output_record *record);

// Sends `count` records in one call. `keys` may be NULL: then all keys are null. Of a call that fails, nothing is sent.
ksem_status ksem_output_send_many(struct ksem_output *output,
                                  const char *topic,
                                  const struct ksem_bytes *keys,
                                  const struct ksem_bytes *values,
                                  size_t count);

// Sends record `index` of the batch as it is, with headers and timestamp. Nothing is copied.
ksem_status ksem_output_forward(struct ksem_output *output, const char *topic, size_t index);

// Sends every record of the batch as it is.
ksem_status ksem_output_forward_all(struct ksem_output *output, const char *topic);

// Has record `index` of the batch handled again: nothing of the batch is applied, and it is split around the record. When
// `retry.max_attempts` is used up, the record becomes a dead letter. Under at-most-once it is counted as lost.
ksem_status ksem_output_retry(struct ksem_output *output,
                              size_t index);

// Sets record `index` of the batch aside: it goes to `dead_letter.topic` together with what the batch sends. The reason is
// copied.
ksem_status ksem_output_dead_letter(struct ksem_output *output,
                                    size_t index,
                                    const char *reason);

// Has record `index` of the batch counted as done although nothing comes of it.
ksem_status ksem_output_skip(struct ksem_output *output, size_t index);

// Says why the handler fails, and returns what it should return: `return ksem_output_fail(output, "no such customer");`.
// The text is found in the error that the caller gets (`ksem_error_handler_message`).
ksem_status ksem_output_fail(struct ksem_output *output,
                             const char *message);

// As `ksem_output_fail`, with something of the caller's that travels with the failure, such as an exception of another
// language: `ksem_error_payload` finds it. ksem calls `drop` with it once, on any thread, also if this call fails.
ksem_status ksem_output_fail_with(struct ksem_output *output, const char *message, void *payload, ksem_drop drop);

// Returns how many records were sent.
size_t ksem_output_len(const struct ksem_output *output);

// Returns what was wrong with the first call that was made wrongly; NULL if there was none. Lives until the output is cleared.
const char *ksem_output_wrong(const struct ksem_output *output);

// Forgets everything that was sent, wrong calls too, and keeps the memory.
void ksem_output_clear(struct ksem_output *output);

// Frees an output of `ksem_output_new`. NULL is allowed.
void ksem_output_free(struct ksem_output *output);

// Returns what became of the batch: `KSEM_APPLIED`, `KSEM_LOST` or `KSEM_REDELIVERED`.
ksem_applied ksem_report_applied(const struct ksem_report *report);

// Returns the guarantee under which it was processed.
ksem_guarantee ksem_report_guarantee(const struct ksem_report *report);

// Returns how many input records it had.
size_t ksem_report_records(const struct ksem_report *report);

// Returns how many output records were acknowledged, without dead letters.
uint64_t ksem_report_outputs(const struct ksem_report *report);

// Returns how many input records were set aside in the dead-letter topic.
uint64_t ksem_report_dead_lettered(const struct ksem_report *report);

// Returns how many input records the handler skipped by a verdict.
uint64_t ksem_report_skipped(const struct ksem_report *report);

// Returns how many input records were given to the handler again because it had failed, each time counted.
uint64_t ksem_report_retried(const struct ksem_report *report);

// Returns how often the handler was called for it.
uint32_t ksem_report_attempts(const struct ksem_report *report);

// Returns the microseconds from the first step to the last.
uint64_t ksem_report_took_us(const struct ksem_report *report);

// Returns the positions that were committed; none if it was not applied. They live as long as the report.
struct ksem_positions ksem_report_offsets(const struct ksem_report *report);

// Returns why it was lost or not applied, in one line; NULL if it was applied.
const char *ksem_report_cause(const struct ksem_report *report);

// Frees a report. NULL is allowed.
void ksem_report_free(struct ksem_report *report);

// Returns how many counters there are.
size_t ksem_metrics_len(const struct ksem_metrics *metrics);

// Returns a counter's name; NULL if there is no such one. Lives as long as the metrics.
const char *ksem_metrics_name(const struct ksem_metrics *metrics, size_t index);

// Returns a counter's value; 0 if there is no such one.
uint64_t ksem_metrics_value(const struct ksem_metrics *metrics, size_t index);

// Returns the value of a counter by its name, such as `records_in`; 0 if there is no such one.
uint64_t ksem_metrics_get(const struct ksem_metrics *metrics, const char *name);

// Frees metrics. NULL is allowed.
void ksem_metrics_free(struct ksem_metrics *metrics);

// Returns the attempt's batch; it lives as long as the attempt.
const struct ksem_batch *ksem_attempt_batch(const struct ksem_attempt *attempt);

// Returns where to send; it lives as long as the attempt.
struct ksem_output *ksem_attempt_output(struct ksem_attempt *attempt);

// Commits: the outputs and the offsets, in the order of the guarantee. A report that says `KSEM_REDELIVERED` is not an
// error: nothing was applied, and the batch comes again. `report` may be NULL. The attempt has ended, whatever is returned.
ksem_status ksem_attempt_commit(struct ksem_attempt *attempt,
                                struct ksem_report **report,
                                struct ksem_error **error);

// Aborts: nothing is applied, and the batch comes again. Under at-most-once its offsets are committed already, so it is
// lost, and counted. `reason` is for the log and may be NULL, and so may `report`.
ksem_status ksem_attempt_abort(struct ksem_attempt *attempt,
                               const char *reason,
                               struct ksem_report **report,
                               struct ksem_error **error);

// Frees an attempt; one that has not ended is aborted. NULL is allowed.
void ksem_attempt_free(struct ksem_attempt *attempt);

// Opens a pipeline with the configuration in a TOML file: checks it and the topics, joins the group, and makes the
// producers of the configured guarantee.
ksem_status ksem_pipeline_open_file(const char *path, struct ksem_pipeline **pipeline, struct ksem_error **error);

// As `ksem_pipeline_open_file`, with the configuration as TOML text.
ksem_status ksem_pipeline_open_toml(const char *toml, struct ksem_pipeline **pipeline, struct ksem_error **error);

// As `ksem_pipeline_open_file`, with the same fields as JSON text.
ksem_status ksem_pipeline_open_json(const char *json, struct ksem_pipeline **pipeline, struct ksem_error **error);

// Gets the next batch. `*batch` is NULL if none came in time, if every lane's batch is out, or if the pipeline is stopped.
ksem_status ksem_pipeline_poll(const struct ksem_pipeline *pipeline,
                               uint64_t timeout_ms,
                               struct ksem_batch **batch,
                               struct ksem_error **error);

// Processes a batch under the guarantee: begins, calls the handler on this thread, commits or aborts, and tries again as
// `[retry]` of the configuration says. What the handler sends is kept until it has succeeded. With a NULL `handler` the
// configuration's routes are one. The batch can be read until it is freed, and not be processed again; if the call fails,
// its records come again with a later poll. `report` may be NULL.
ksem_status ksem_pipeline_process(const struct ksem_pipeline *pipeline,
                                  const struct ksem_batch *batch,
                                  ksem_guarantee guarantee,
                                  ksem_handler handler,
                                  void *user,
                                  struct ksem_report **report,
                                  struct ksem_error **error);

// Polls and processes with the configured guarantee and several batches in flight, until it is stopped or fails. The
// handler runs on this thread; with a NULL `handler` the configuration's routes are one.
ksem_status ksem_pipeline_run(const struct ksem_pipeline *pipeline,
                              ksem_until until,
                              ksem_handler handler,
                              void *user,
                              struct ksem_error **error);

// Begins an attempt at a batch, for callers with their own control flow. Free the attempt, and the batch too.
ksem_status ksem_pipeline_begin(const struct ksem_pipeline *pipeline,
                                const struct ksem_batch *batch,
                                ksem_guarantee guarantee,
                                struct ksem_attempt **attempt,
                                struct ksem_error **error);

// Sends records whose input is not Kafka, and waits for the acknowledgements: with `acks` 0 or 1, with `acks=all`, or in one
// transaction over all topics. `records` stay as they are; `acknowledged` may be NULL.
ksem_status ksem_pipeline_publish(const struct ksem_pipeline *pipeline,
                                  const struct ksem_output *records,
                                  ksem_guarantee guarantee,
                                  uint64_t *acknowledged,
                                  struct ksem_error **error);

// Asks the pipeline to end: a run returns when the batches in flight are done, a poll returns at once. Any thread may call
// it, and so may a signal handler.
void ksem_pipeline_stop(const struct ksem_pipeline *pipeline);

// Leaves the group and closes the clients, within `shutdown.deadline_ms`. Calls after it fail with `KSEM_MISUSE`; closing
// again does nothing. The handle is still to be freed.
ksem_status ksem_pipeline_close(const struct ksem_pipeline *pipeline,
                                struct ksem_error **error);

// Returns the instance id, configured or found. It lives as long as the pipeline.
const char *ksem_pipeline_instance_id(const struct ksem_pipeline *pipeline);

// Takes the counters as they are now.
ksem_status ksem_pipeline_metrics(const struct ksem_pipeline *pipeline,
                                  struct ksem_metrics **metrics,
                                  struct ksem_error **error);

// Frees a pipeline; one that was not closed is closed. NULL is allowed.
void ksem_pipeline_free(struct ksem_pipeline *pipeline);

// Starts a broker. `listen` is "host:port"; NULL takes a free port of the loopback interface.
ksem_status ksem_broker_start(const char *listen, struct ksem_broker **broker, struct ksem_error **error);

// Returns what to set as `bootstrap.servers`. It lives as long as the broker.
const char *ksem_broker_bootstrap(const struct ksem_broker *broker);

// Creates a topic; one that exists is left as it is.
ksem_status ksem_broker_create_topic(const struct ksem_broker *broker,
                                     const char *topic,
                                     int32_t partitions,
                                     struct ksem_error **error);

// Returns the offset that the next record of a partition gets; -1 if there is no such partition.
int64_t ksem_broker_end_offset(const struct ksem_broker *broker, const char *topic, int32_t partition);

// Returns the offset that a group has committed for a partition; -1 if it has none.
int64_t ksem_broker_committed_offset(const struct ksem_broker *broker,
                                     const char *group,
                                     const char *topic,
                                     int32_t partition);

// Stops a broker and frees it. NULL is allowed.
void ksem_broker_free(struct ksem_broker *broker);

// Returns how many error codes there are.
size_t ksem_code_count(void);

// Returns an error code, in the order of the numbers; 0 behind the last one.
ksem_status ksem_code_at(size_t index);

// Returns a code's name, such as `producer_fenced`; NULL for a number that is no code.
const char *ksem_code_name(ksem_status status);

// Returns one sentence about a code; NULL for a number that is no code.
const char *ksem_code_doc(ksem_status status);

// Returns a code's class, as `ksem_error_class` does; NULL for a number that is no code.
const char *ksem_code_class(ksem_status status);

// Returns what a code's caller should do, as `ksem_error_retry` does; NULL for a number that is no code.
const char *ksem_code_retry(ksem_status status);

// Returns a code's usual outcome; NULL for a number that is no code.
const char *ksem_code_outcome(ksem_status status);

// Reads a guarantee's name, such as `exactly_once`; hyphens and capitals are accepted.
ksem_status ksem_guarantee_parse(const char *name, ksem_guarantee *guarantee, struct ksem_error **error);

// Returns a guarantee's name; NULL for a number that is no guarantee.
const char *ksem_guarantee_name(ksem_guarantee guarantee);

// Returns the name of what became of a batch: "applied", "lost" or "redelivered"; NULL for another number.
const char *ksem_applied_name(ksem_applied applied);

// Returns the version of the library, such as "0.1.0". The header's `KSEM_VERSION` is what a program was compiled with.
const char *ksem_version(void);

// Gives ksem's log records, down to a level, to a function, from now on. Once for each process: later calls fail.
ksem_status ksem_log_to(ksem_level level, ksem_logger logger, void *user, struct ksem_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KSEM_H */
