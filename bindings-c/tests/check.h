/* What the tests in C and C++ share: checks that say what they found, and an embedded broker with topics. */
#ifndef CHECK_H
#define CHECK_H

#include <ksem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
    ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), exit(1)))

#define CHECK_TEXT(found, expected) check_text(__FILE__, __LINE__, (found), (expected))
#define CHECK_NUMBER(found, expected) check_number(__FILE__, __LINE__, (long long)(found), (long long)(expected))
/* A call that has to succeed; `error` is its out parameter. */
#define OK(call) check_ok(__FILE__, __LINE__, (call), &error)
/* A call that has to fail with a status. The error is left in `error`, to be looked at and freed. */
#define FAILS(call, status) (CHECK_NUMBER((call), (status)), CHECK(error != NULL), CHECK_NUMBER(ksem_error_status(error), (status)))

static inline void check_text(const char *file, int line, const char *found, const char *expected) {
    if (found == NULL || strcmp(found, expected) != 0) {
        fprintf(stderr, "%s:%d: found \"%s\", expected \"%s\"\n", file, line, found ? found : "NULL", expected);
        exit(1);
    }
}

static inline void check_number(const char *file, int line, long long found, long long expected) {
    if (found != expected) {
        fprintf(stderr, "%s:%d: found %lld, expected %lld\n", file, line, found, expected);
        exit(1);
    }
}

static inline void check_ok(const char *file, int line, ksem_status status, ksem_error **error) {
    if (status != KSEM_OK) {
        fprintf(stderr, "%s:%d: %s\n", file, line, ksem_error_text(*error));
        exit(1);
    }
    CHECK(*error == NULL);
}

static inline void forget(ksem_error **error) {
    ksem_error_free(*error);
    *error = NULL;
}

/* A broker with a topic "in" of one partition, and "a" and "b". */
static inline ksem_broker *start_broker(void) {
    ksem_error *error = NULL;
    ksem_broker *broker = NULL;
    OK(ksem_broker_start(NULL, &broker, &error));
    OK(ksem_broker_create_topic(broker, "in", 1, &error));
    OK(ksem_broker_create_topic(broker, "a", 2, &error));
    OK(ksem_broker_create_topic(broker, "b", 1, &error));
    return broker;
}

static inline void settings(char *text, size_t size, const ksem_broker *broker, const char *group, const char *input) {
    snprintf(text, size,
             "group = \"%s\"\ninputs = [\"%s\"]\nguarantee = \"exactly_once\"\n"
             "[kafka]\n\"bootstrap.servers\" = \"%s\"\n"
             "[batch]\nlinger_ms = 200\n[transactions]\ninstance_id = \"%s\"\n[retry]\nmax_attempts = 2\nbackoff_ms = 10\n",
             group, input, ksem_broker_bootstrap(broker), group);
}

static inline ksem_pipeline *open_pipeline(const ksem_broker *broker, const char *group, const char *input) {
    char text[1024];
    settings(text, sizeof text, broker, group, input);
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = NULL;
    OK(ksem_pipeline_open_toml(text, &pipeline, &error));
    CHECK(pipeline != NULL);
    return pipeline;
}

static inline void close_pipeline(ksem_pipeline *pipeline) {
    ksem_error *error = NULL;
    OK(ksem_pipeline_close(pipeline, &error));
    ksem_pipeline_free(pipeline);
}

/* Polls until a batch comes. */
static inline ksem_batch *next_batch(const ksem_pipeline *pipeline) {
    ksem_error *error = NULL;
    ksem_batch *batch = NULL;
    OK(ksem_pipeline_poll(pipeline, 30000, &batch, &error));
    CHECK(batch != NULL);
    return batch;
}

/* Publishes `count` records "0", "1", … */
static inline void publish_numbers(const ksem_pipeline *pipeline, const char *topic, int count) {
    ksem_error *error = NULL;
    ksem_output *records = ksem_output_new();
    for (int i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        CHECK(ksem_output_send(records, topic, ksem_text(text), ksem_text(text)) == KSEM_OK);
    }
    uint64_t acknowledged = 0;
    OK(ksem_pipeline_publish(pipeline, records, KSEM_EXACTLY_ONCE, &acknowledged, &error));
    CHECK_NUMBER(acknowledged, count);
    ksem_output_free(records);
}

static inline ksem_status count(const ksem_batch *batch, ksem_output *output, void *user) {
    (void)output;
    *(size_t *)user += ksem_batch_len(batch);
    return KSEM_OK;
}

/* Counts the committed records of a topic. */
static inline size_t count_committed(const ksem_broker *broker, const char *topic) {
    static int readers = 0;
    char group[32];
    snprintf(group, sizeof group, "reader-%d", readers++);
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = open_pipeline(broker, group, topic);
    size_t found = 0;
    OK(ksem_pipeline_run(pipeline, KSEM_UNTIL_CAUGHT_UP, count, &found, &error));
    close_pipeline(pipeline);
    return found;
}

#endif
