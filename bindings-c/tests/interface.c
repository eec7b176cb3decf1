/* The C interface on the embedded broker: records, handlers, attempts, stopping, misuse. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static ksem_bytes bytes(const void *data, size_t len) {
    ksem_bytes bytes = {data, len};
    return bytes;
}

static void check_bytes(ksem_bytes found, ksem_bytes expected) {
    CHECK((found.data == NULL) == (expected.data == NULL));
    CHECK_NUMBER(found.len, expected.len);
    CHECK(found.len == 0 || memcmp(found.data, expected.data, found.len) == 0);
}

static const char BINARY[] = {0, 1, (char)0xff, 0};
static const int64_t TIME = 1700000000123;

/* One record of each kind that differs: null, empty and binary keys and values, headers, partition, timestamp. */
static void send_kinds(ksem_output *output, const char *topic) {
    const ksem_header headers[] = {
        {"trace", ksem_text("one")}, {"trace", bytes(BINARY, sizeof BINARY)}, {"empty", bytes("", 0)}, {"null", bytes(NULL, 0)}};
    const int32_t partition = 0;
    const ksem_output_record whole = {.key = ksem_text("k"),
                                      .value = bytes(BINARY, sizeof BINARY),
                                      .headers = headers,
                                      .header_count = 4,
                                      .partition = &partition,
                                      .timestamp = &TIME};
    CHECK_NUMBER(ksem_output_send_record(output, topic, &whole), KSEM_OK);
    CHECK_NUMBER(ksem_output_send(output, topic, bytes(NULL, 0), ksem_text("null key")), KSEM_OK);
    CHECK_NUMBER(ksem_output_send(output, topic, bytes("", 0), ksem_text("empty key")), KSEM_OK);
    CHECK_NUMBER(ksem_output_send(output, topic, ksem_text("tombstone"), bytes(NULL, 0)), KSEM_OK);
    CHECK_NUMBER(ksem_output_send(output, topic, ksem_text("empty value"), bytes("", 0)), KSEM_OK);
}

static void check_kinds(const ksem_batch *batch) {
    CHECK_NUMBER(ksem_batch_len(batch), 5);
    ksem_records records = ksem_batch_records(batch);
    ksem_columns columns = ksem_batch_columns(batch);
    CHECK_NUMBER(records.len, 5);
    CHECK_NUMBER(columns.len, 5);
    for (size_t i = 0; i < records.len; i++) {
        const ksem_record *record = &records.items[i];
        CHECK_TEXT(columns.topics[i], record->topic);
        CHECK_NUMBER(columns.partitions[i], record->partition);
        CHECK_NUMBER(columns.offsets[i], record->offset);
        CHECK_NUMBER(columns.timestamps[i], record->timestamp);
        check_bytes(columns.keys[i], record->key);
        check_bytes(columns.values[i], record->value);
    }
    check_bytes(records.items[0].key, ksem_text("k"));
    check_bytes(records.items[0].value, bytes(BINARY, sizeof BINARY));
    CHECK_NUMBER(records.items[0].timestamp, TIME);
    check_bytes(records.items[1].key, bytes(NULL, 0));
    check_bytes(records.items[2].key, bytes("", 0));
    check_bytes(records.items[3].value, bytes(NULL, 0));
    check_bytes(records.items[4].value, bytes("", 0));
    ksem_headers headers = ksem_batch_headers(batch, 0);
    CHECK_NUMBER(headers.len, 4);
    CHECK_TEXT(headers.items[0].name, "trace");
    check_bytes(headers.items[0].value, ksem_text("one"));
    CHECK_TEXT(headers.items[1].name, "trace");
    check_bytes(headers.items[1].value, bytes(BINARY, sizeof BINARY));
    check_bytes(headers.items[2].value, bytes("", 0));
    check_bytes(headers.items[3].value, bytes(NULL, 0));
    CHECK_NUMBER(ksem_batch_headers(batch, 1).len, 0);
    CHECK_NUMBER(ksem_batch_headers(batch, 5).len, 0);
}

static ksem_status forward_all(const ksem_batch *batch, ksem_output *output, void *user) {
    (void)batch;
    return ksem_output_forward_all(output, (const char *)user);
}

/* Every kind of record goes in, through a handler, and out again, as it was. */
static void records(const ksem_broker *broker) {
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = open_pipeline(broker, "records", "in");
    ksem_output *kinds = ksem_output_new();
    send_kinds(kinds, "in");
    CHECK_NUMBER(ksem_output_len(kinds), 5);
    uint64_t acknowledged = 0;
    OK(ksem_pipeline_publish(pipeline, kinds, KSEM_AT_LEAST_ONCE, &acknowledged, &error));
    CHECK_NUMBER(acknowledged, 5);
    ksem_output_free(kinds);

    ksem_batch *batch = next_batch(pipeline);
    check_kinds(batch);
    ksem_report *report = NULL;
    OK(ksem_pipeline_process(pipeline, batch, KSEM_EXACTLY_ONCE, forward_all, "b", &report, &error));
    CHECK_NUMBER(ksem_report_applied(report), KSEM_APPLIED);
    CHECK_NUMBER(ksem_report_guarantee(report), KSEM_EXACTLY_ONCE);
    CHECK_NUMBER(ksem_report_records(report), 5);
    CHECK_NUMBER(ksem_report_outputs(report), 5);
    CHECK_NUMBER(ksem_report_attempts(report), 1);
    CHECK(ksem_report_cause(report) == NULL);
    ksem_positions offsets = ksem_report_offsets(report);
    CHECK_NUMBER(offsets.len, 1);
    CHECK_TEXT(offsets.items[0].topic, "in");
    CHECK_NUMBER(offsets.items[0].offset, ksem_batch_records(batch).items[4].offset + 1);
    CHECK_NUMBER(ksem_broker_committed_offset(broker, "records", "in", 0), offsets.items[0].offset);
    ksem_report_free(report);
    check_kinds(batch); /* It can still be read, and not be processed. */
    FAILS(ksem_pipeline_process(pipeline, batch, KSEM_EXACTLY_ONCE, forward_all, "b", NULL, &error), KSEM_MISUSE);
    forget(&error);
    ksem_batch_free(batch);
    close_pipeline(pipeline);

    pipeline = open_pipeline(broker, "records-again", "b");
    batch = next_batch(pipeline);
    check_kinds(batch);
    ksem_batch_free(batch);
    close_pipeline(pipeline);
}

/* Fails as often as it is told, then sends a pair for each record with `send_many`. */
typedef struct {
    int failures;
    int calls;
    pthread_t thread;
} plan;

static ksem_status planned(const ksem_batch *batch, ksem_output *output, void *user) {
    plan *plan = user;
    plan->calls++;
    CHECK(pthread_equal(plan->thread, pthread_self()));
    ksem_columns columns = ksem_batch_columns(batch);
    CHECK_NUMBER(ksem_output_send_many(output, "a", columns.keys, columns.values, columns.len), KSEM_OK);
    if (plan->failures-- > 0) {
        return ksem_output_fail(output, "no such customer: \xc3\xa9");
    }
    return ksem_output_send_many(output, "a", NULL, columns.values, 1);
}

/* A handler that fails leaves nothing, its message reaches the caller, and the next attempt gets the same records. */
static void failures(const ksem_broker *broker) {
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = open_pipeline(broker, "failures", "in");
    publish_numbers(pipeline, "in", 10);
    ksem_batch *batch = next_batch(pipeline);
    size_t records = ksem_batch_len(batch);
    int64_t first = ksem_batch_records(batch).items[0].offset;
    plan plan = {.failures = 2, .thread = pthread_self()};
    FAILS(ksem_pipeline_process(pipeline, batch, KSEM_EXACTLY_ONCE, planned, &plan, NULL, &error), KSEM_HANDLER_FAILED);
    ksem_batch_free(batch);
    CHECK_NUMBER(plan.calls, 2);
    CHECK_TEXT(ksem_error_name(error), "handler_failed");
    CHECK_TEXT(ksem_error_class(error), "handler");
    CHECK_TEXT(ksem_error_retry(error), "never");
    CHECK_TEXT(ksem_error_outcome(error), "not_applied");
    CHECK_TEXT(ksem_error_handler_message(error), "no such customer: \xc3\xa9");
    CHECK_NUMBER(ksem_error_handler_status(error), KSEM_HANDLER_FAILED);
    CHECK(strstr(ksem_error_message(error), "no such customer") != NULL);
    CHECK(strstr(ksem_error_text(error), "[4001 handler_failed]") == ksem_error_text(error));
    CHECK_NUMBER(ksem_error_context_len(error), 1);
    CHECK_TEXT(ksem_error_context_name(error, 0), "batch");
    CHECK(ksem_error_context_value(error, 0) != NULL && ksem_error_context_value(error, 1) == NULL);
    CHECK(ksem_error_payload(error, NULL) == NULL);
    forget(&error);

    batch = next_batch(pipeline);
    CHECK_NUMBER(ksem_batch_len(batch), records);
    CHECK_NUMBER(ksem_batch_records(batch).items[0].offset, first);
    plan.failures = 1;
    ksem_report *report = NULL;
    OK(ksem_pipeline_process(pipeline, batch, KSEM_EXACTLY_ONCE, planned, &plan, &report, &error));
    CHECK_NUMBER(ksem_report_attempts(report), 2);
    CHECK_NUMBER(ksem_report_outputs(report), records + 1);
    ksem_report_free(report);
    ksem_batch_free(batch);
    ksem_metrics *metrics = NULL;
    OK(ksem_pipeline_metrics(pipeline, &metrics, &error));
    CHECK_NUMBER(ksem_metrics_get(metrics, "handler_failures"), 3);
    CHECK_NUMBER(ksem_metrics_get(metrics, "records_in"), records);
    CHECK(ksem_metrics_len(metrics) >= 12 && ksem_metrics_name(metrics, 0) != NULL);
    ksem_metrics_free(metrics);
    close_pipeline(pipeline);
    CHECK_NUMBER(count_committed(broker, "a"), records + 1);
}

static ksem_status without_a_word(const ksem_batch *batch, ksem_output *output, void *user) {
    (void)batch, (void)output, (void)user;
    return 17;
}

static ksem_status wrong_call(const ksem_batch *batch, ksem_output *output, void *user) {
    (void)user;
    CHECK_NUMBER(ksem_output_forward(output, "b", ksem_batch_len(batch)), KSEM_MISUSE);
    return KSEM_OK; /* The wrong call is not forgotten. */
}

static ksem_status cancel(const ksem_batch *batch, ksem_output *output, void *user) {
    (void)batch, (void)output;
    ++*(int *)user;
    return KSEM_HANDLER_CANCELLED;
}

static void runs(const ksem_broker *broker) {
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = open_pipeline(broker, "runs", "in");
    FAILS(ksem_pipeline_run(pipeline, KSEM_UNTIL_STOPPED, without_a_word, NULL, &error), KSEM_HANDLER_FAILED);
    CHECK_NUMBER(ksem_error_handler_status(error), 17);
    CHECK(strstr(ksem_error_message(error), "17") != NULL);
    forget(&error);
    ksem_pipeline_free(pipeline);

    pipeline = open_pipeline(broker, "runs", "in");
    FAILS(ksem_pipeline_run(pipeline, KSEM_UNTIL_STOPPED, wrong_call, NULL, &error), KSEM_HANDLER_FAILED);
    CHECK_NUMBER(ksem_error_handler_status(error), KSEM_MISUSE);
    CHECK(strstr(ksem_error_handler_message(error), "can't be forwarded") != NULL);
    forget(&error);
    ksem_pipeline_free(pipeline);

    pipeline = open_pipeline(broker, "runs", "in");
    int calls = 0;
    FAILS(ksem_pipeline_run(pipeline, KSEM_UNTIL_STOPPED, cancel, &calls, &error), KSEM_HANDLER_CANCELLED);
    CHECK_NUMBER(calls, 1);
    forget(&error);
    ksem_pipeline_free(pipeline);

    pipeline = open_pipeline(broker, "runs", "in");
    plan plan = {.failures = 1, .thread = pthread_self()};
    OK(ksem_pipeline_run(pipeline, KSEM_UNTIL_CAUGHT_UP, planned, &plan, &error));
    CHECK(plan.calls >= 2);
    FAILS(ksem_pipeline_run(pipeline, 7, planned, &plan, &error), KSEM_MISUSE);
    forget(&error);
    close_pipeline(pipeline);
}

static void attempts(const ksem_broker *broker) {
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = open_pipeline(broker, "attempts", "in");
    int64_t first = -1;
    enum { ABORT, FREE, WRONG, COMMIT };
    for (int end = ABORT; end <= COMMIT; end++) {
        ksem_batch *batch = next_batch(pipeline);
        int64_t offset = ksem_batch_records(batch).items[0].offset;
        first = end == ABORT ? offset : first;
        CHECK_NUMBER(offset, first);
        ksem_attempt *attempt = NULL;
        ksem_report *report = NULL;
        OK(ksem_pipeline_begin(pipeline, batch, KSEM_EXACTLY_ONCE, &attempt, &error));
        CHECK_NUMBER(ksem_batch_len(ksem_attempt_batch(attempt)), ksem_batch_len(batch));
        CHECK_NUMBER(ksem_output_forward_all(ksem_attempt_output(attempt), "b"), KSEM_OK);
        if (end == ABORT) {
            OK(ksem_attempt_abort(attempt, "not today", &report, &error));
            CHECK_NUMBER(ksem_report_applied(report), KSEM_REDELIVERED);
        } else if (end == WRONG) {
            CHECK_NUMBER(ksem_output_forward(ksem_attempt_output(attempt), NULL, 0), KSEM_MISUSE);
            FAILS(ksem_attempt_commit(attempt, &report, &error), KSEM_MISUSE);
            CHECK_TEXT(ksem_error_message(error), "`topic` is NULL");
            forget(&error);
            FAILS(ksem_attempt_commit(attempt, &report, &error), KSEM_MISUSE);
            CHECK_TEXT(ksem_error_message(error), "the attempt has ended");
            forget(&error);
        } else if (end == COMMIT) {
            OK(ksem_attempt_commit(attempt, &report, &error));
            CHECK_NUMBER(ksem_report_applied(report), KSEM_APPLIED);
        }
        ksem_report_free(report);
        ksem_attempt_free(attempt);
        ksem_batch_free(batch);
    }
    close_pipeline(pipeline);
}

static ksem_pipeline *to_stop;

static void on_signal(int signal) {
    (void)signal;
    ksem_pipeline_stop(to_stop);
}

static void *stop_soon(void *by_signal) {
    usleep(200000);
    by_signal ? (void)kill(getpid(), SIGUSR1) : ksem_pipeline_stop(to_stop);
    return NULL;
}

/* A run ends when another thread, or a signal handler, stops it. */
static void stops(const ksem_broker *broker) {
    ksem_error *error = NULL;
    signal(SIGUSR1, on_signal);
    for (int by_signal = 0; by_signal < 2; by_signal++) {
        to_stop = open_pipeline(broker, "stops", "in");
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, stop_soon, by_signal ? &thread : NULL) == 0);
        size_t records = 0;
        OK(ksem_pipeline_run(to_stop, KSEM_UNTIL_STOPPED, count, &records, &error));
        pthread_join(thread, NULL);
        ksem_batch *batch = NULL;
        OK(ksem_pipeline_poll(to_stop, UINT64_MAX, &batch, &error));
        CHECK(batch == NULL);
        close_pipeline(to_stop);
    }
}

static void misuse(const ksem_broker *broker) {
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = NULL;
    ksem_batch *batch = NULL;
    FAILS(ksem_pipeline_open_toml(NULL, &pipeline, &error), KSEM_MISUSE);
    CHECK_TEXT(ksem_error_message(error), "`toml` is NULL");
    forget(&error);
    FAILS(ksem_pipeline_open_toml("\xff", &pipeline, &error), KSEM_MISUSE);
    CHECK_TEXT(ksem_error_message(error), "`toml` is not UTF-8");
    forget(&error);
    FAILS(ksem_pipeline_open_json("{", NULL, &error), KSEM_MISUSE);
    forget(&error);
    FAILS(ksem_pipeline_open_json("{\"group\": 1}", &pipeline, &error), KSEM_CONFIG_INVALID);
    CHECK(pipeline == NULL && strstr(ksem_error_message(error), "group: wrong type") != NULL);
    forget(&error);
    FAILS(ksem_pipeline_open_file("/nowhere.toml", &pipeline, &error), KSEM_CONFIG_INVALID);
    forget(&error);
    CHECK_NUMBER(ksem_pipeline_open_file(NULL, NULL, NULL), KSEM_MISUSE);
    CHECK_NUMBER(ksem_pipeline_poll(NULL, 0, &batch, NULL), KSEM_MISUSE);
    CHECK_NUMBER(ksem_pipeline_close(NULL, NULL), KSEM_MISUSE);
    CHECK_NUMBER(ksem_output_send(NULL, "b", ksem_text("k"), ksem_text("v")), KSEM_MISUSE);
    ksem_pipeline_stop(NULL);
    ksem_error_free(NULL), ksem_batch_free(NULL), ksem_pipeline_free(NULL), ksem_attempt_free(NULL);
    ksem_report_free(NULL), ksem_metrics_free(NULL), ksem_output_free(NULL), ksem_broker_free(NULL);
    CHECK_NUMBER(ksem_batch_len(NULL), 0);
    CHECK(ksem_batch_records(NULL).items == NULL && ksem_error_status(NULL) == KSEM_OK);
    CHECK(ksem_text(NULL).data == NULL && ksem_text("").data != NULL);

    ksem_output *output = ksem_output_new();
    CHECK_NUMBER(ksem_output_send(output, "b", ksem_text("k"), bytes(NULL, 3)), KSEM_MISUSE);
    CHECK_TEXT(ksem_output_wrong(output), "`value.data` is NULL and its length is 3");
    ksem_output_clear(output);
    CHECK(ksem_output_wrong(output) == NULL);
    CHECK_NUMBER(ksem_output_send(output, "\xc3", ksem_text("k"), ksem_text("v")), KSEM_MISUSE);
    const ksem_header unnamed = {NULL, {NULL, 0}};
    const ksem_output_record record = {.headers = &unnamed, .header_count = 1};
    CHECK_NUMBER(ksem_output_send_record(output, "b", &record), KSEM_MISUSE);
    CHECK_NUMBER(ksem_output_send_record(output, "b", NULL), KSEM_MISUSE);
    CHECK_NUMBER(ksem_output_send_many(output, "b", NULL, NULL, 2), KSEM_MISUSE);
    CHECK_NUMBER(ksem_output_forward(output, "b", 0), KSEM_MISUSE);
    CHECK_NUMBER(ksem_output_len(output), 0);

    pipeline = open_pipeline(broker, "misuse", "in");
    /* The first wrong call is the one that is told. */
    FAILS(ksem_pipeline_publish(pipeline, output, KSEM_AT_LEAST_ONCE, NULL, &error), KSEM_MISUSE);
    CHECK_TEXT(ksem_error_message(error), "`topic` is not UTF-8");
    forget(&error);
    ksem_output_free(output);
    FAILS(ksem_pipeline_process(pipeline, NULL, KSEM_EXACTLY_ONCE, NULL, NULL, NULL, &error), KSEM_MISUSE);
    forget(&error);
    batch = next_batch(pipeline);
    FAILS(ksem_pipeline_process(pipeline, batch, 3, NULL, NULL, NULL, &error), KSEM_MISUSE);
    forget(&error);
    /* There are no routes in this configuration. */
    FAILS(ksem_pipeline_process(pipeline, batch, KSEM_AT_LEAST_ONCE, NULL, NULL, NULL, &error), KSEM_HANDLER_FAILED);
    CHECK(strstr(ksem_error_message(error), "[[route]]") != NULL);
    forget(&error);
    ksem_batch_free(batch);
    batch = next_batch(pipeline);

    OK(ksem_pipeline_close(pipeline, &error));
    OK(ksem_pipeline_close(pipeline, &error));
    ksem_batch *none = NULL;
    ksem_attempt *attempt = NULL;
    FAILS(ksem_pipeline_poll(pipeline, 0, &none, &error), KSEM_MISUSE);
    forget(&error);
    FAILS(ksem_pipeline_begin(pipeline, batch, KSEM_EXACTLY_ONCE, &attempt, &error), KSEM_MISUSE);
    forget(&error);
    FAILS(ksem_pipeline_run(pipeline, KSEM_UNTIL_STOPPED, count, NULL, &error), KSEM_MISUSE);
    CHECK_TEXT(ksem_error_outcome(error), "not_applied");
    forget(&error);
    ksem_pipeline_free(pipeline);
    /* A batch outlives its pipeline. */
    CHECK(ksem_batch_records(batch).items[0].value.len > 0);
    ksem_batch_free(batch);

    ksem_broker *second = NULL;
    FAILS(ksem_broker_start(ksem_broker_bootstrap(broker), &second, &error), KSEM_LISTEN_DENIED);
    forget(&error);
}

static void tables(void) {
    ksem_error *error = NULL;
    CHECK_TEXT(ksem_version(), KSEM_VERSION);
    int major = 0, minor = 0, patch = 0;
    CHECK_NUMBER(sscanf(KSEM_VERSION, "%d.%d.%d", &major, &minor, &patch), 3);
    CHECK_NUMBER(KSEM_VERSION_NUMBER, major * 10000 + minor * 100 + patch);
    CHECK_TEXT(ksem_code_name(KSEM_PRODUCER_FENCED), "producer_fenced");
    CHECK_NUMBER(ksem_code_at(0), KSEM_CONFIG_INVALID);
    CHECK_NUMBER(ksem_code_at(ksem_code_count()), 0);
    for (size_t i = 0; i < ksem_code_count(); i++) {
        ksem_status code = ksem_code_at(i);
        CHECK(ksem_code_name(code) && ksem_code_doc(code) && ksem_code_class(code));
        CHECK(ksem_code_retry(code) && ksem_code_outcome(code));
    }
    CHECK(ksem_code_name(1) == NULL && ksem_guarantee_name(9) == NULL && ksem_applied_name(9) == NULL);
    ksem_guarantee guarantee = -1;
    OK(ksem_guarantee_parse("At-Most-Once", &guarantee, &error));
    CHECK_TEXT(ksem_guarantee_name(guarantee), "at_most_once");
    FAILS(ksem_guarantee_parse("perhaps", &guarantee, &error), KSEM_MISUSE);
    forget(&error);
}

static void log_line(ksem_level level, const char *line, void *user) {
    CHECK(level >= KSEM_ERROR && level <= KSEM_INFO && line[0] != 0);
    __atomic_add_fetch((int *)user, 1, __ATOMIC_SEQ_CST);
}

int main(void) {
    ksem_error *error = NULL;
    static int lines = 0;
    OK(ksem_log_to(KSEM_INFO, log_line, &lines, &error));
    FAILS(ksem_log_to(KSEM_INFO, log_line, &lines, &error), KSEM_MISUSE);
    forget(&error);
    tables();
    ksem_broker *broker = start_broker();
    records(broker);
    failures(broker);
    runs(broker);
    attempts(broker);
    stops(broker);
    misuse(broker);
    ksem_broker_free(broker);
    CHECK(lines > 0);
    puts("interface.c: ok");
    return 0;
}
