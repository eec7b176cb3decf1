#include "handler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER, resuming = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t resumed = PTHREAD_COND_INITIALIZER;

/* Names that were resumed. */
static struct open_pause {
    char *at;
    struct open_pause *next;
} *resumes;

void say(cJSON *line) {
    char *text = cJSON_PrintUnformatted(line);
    pthread_mutex_lock(&saying);
    puts(text);
    fflush(stdout);
    pthread_mutex_unlock(&saying);
    free(text);
    cJSON_Delete(line);
}

void resume(const char *at) {
    struct open_pause *open = malloc(sizeof *open);
    pthread_mutex_lock(&resuming);
    *open = (struct open_pause){strdup(at), resumes};
    resumes = open;
    pthread_cond_broadcast(&resumed);
    pthread_mutex_unlock(&resuming);
}

static bool is_open(const char *at) {
    for (const struct open_pause *open = resumes; open != NULL; open = open->next) {
        if (strcmp(open->at, at) == 0) {
            return true;
        }
    }
    return false;
}

static void wait_at(const script *script, const char *at, const ksem_batch *batch) {
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "event", "paused");
    cJSON_AddStringToObject(event, "at", at);
    cJSON_AddItemToObject(event, "id", cJSON_Duplicate(script->id, true));
    cJSON_AddNumberToObject(event, "call", script->calls);
    cJSON_AddNumberToObject(event, "records", (double)ksem_batch_len(batch));
    say(event);
    pthread_mutex_lock(&resuming);
    while (!is_open(at)) {
        pthread_cond_wait(&resumed, &resuming);
    }
    pthread_mutex_unlock(&resuming);
}

static bool is_value(ksem_bytes found, owned_bytes value) {
    return found.data != NULL && found.len == value.len && memcmp(found.data, value.data, value.len) == 0;
}

static bool has_value(const ksem_batch *batch, owned_bytes value) {
    ksem_records records = ksem_batch_records(batch);
    for (size_t i = 0; i < records.len; i++) {
        if (is_value(records.items[i].value, value)) {
            return true;
        }
    }
    return false;
}

static void give_verdict(const cJSON *step, const ksem_batch *batch, ksem_output *out) {
    owned_bytes value = decoded(cJSON_GetObjectItemCaseSensitive(step, "value"));
    const char *verdict = text_of(step, "verdict");
    ksem_records records = ksem_batch_records(batch);
    for (size_t i = 0; i < records.len; i++) {
        if (!is_value(records.items[i].value, value)) {
            continue;
        }
        if (strcmp(verdict, "retry") == 0) {
            ksem_output_retry(out, i);
        } else if (strcmp(verdict, "dead_letter") == 0) {
            ksem_output_dead_letter(out, i, text_of(step, "reason"));
        } else {
            ksem_output_skip(out, i);
        }
    }
    free(value.data);
}

static bool applies(const cJSON *step, const script *script, const ksem_batch *batch) {
    const cJSON *calls = cJSON_GetObjectItemCaseSensitive(step, "calls"), *call;
    bool listed = calls == NULL;
    cJSON_ArrayForEach(call, calls) {
        listed |= call->valueint == script->calls;
    }
    owned_bytes value = decoded(cJSON_GetObjectItemCaseSensitive(step, "value"));
    listed = listed && (value.data == NULL || has_value(batch, value));
    free(value.data);
    return listed;
}

/* Makes records of what the accessors say. */
static void copy(const ksem_batch *batch, ksem_output *out, const char *topic, bool same_partition) {
    ksem_records records = ksem_batch_records(batch);
    for (size_t i = 0; i < records.len; i++) {
        const ksem_record *record = &records.items[i];
        ksem_headers headers = ksem_batch_headers(batch, i);
        const ksem_output_record sent = {.key = record->key,
                                         .value = record->value,
                                         .headers = headers.items,
                                         .header_count = headers.len,
                                         .partition = same_partition ? &record->partition : NULL,
                                         .timestamp = record->timestamp == KSEM_NO_TIMESTAMP ? NULL : &record->timestamp};
        ksem_output_send_record(out, topic, &sent);
    }
}

static ksem_status take(const cJSON *step, const script *script, const ksem_batch *batch, ksem_output *out) {
    const char *kind = text_of(step, "step"), *topic = text_of(step, "topic");
    if (strcmp(kind, "forward") == 0) {
        for (size_t i = 0; i < ksem_batch_len(batch); i++) {
            ksem_output_forward(out, topic, i);
        }
    } else if (strcmp(kind, "copy") == 0) {
        copy(batch, out, topic, strcmp(text_of(step, "partition"), "same") == 0);
    } else if (strcmp(kind, "copy_columns") == 0) {
        ksem_columns columns = ksem_batch_columns(batch);
        ksem_output_send_many(out, topic, columns.keys, columns.values, columns.len);
    } else if (strcmp(kind, "send") == 0) {
        const cJSON *times = cJSON_GetObjectItemCaseSensitive(step, "times");
        cJSON *records = cJSON_CreateArray();
        cJSON_AddItemReferenceToArray(records, cJSON_GetObjectItemCaseSensitive(step, "record"));
        for (int i = cJSON_IsNumber(times) ? times->valueint : 1; i > 0; i--) {
            send_records(records, out);
        }
        cJSON_Delete(records);
    } else if (strcmp(kind, "sleep") == 0) {
        usleep((useconds_t)cJSON_GetObjectItemCaseSensitive(step, "ms")->valueint * 1000);
    } else if (strcmp(kind, "pause") == 0) {
        wait_at(script, text_of(step, "at"), batch);
    } else if (strcmp(kind, "verdict") == 0) {
        give_verdict(step, batch, out);
    } else if (strcmp(kind, "fail") == 0) {
        return ksem_output_fail(out, text_of(step, "text"));
    } else if (strcmp(kind, "panic") == 0) {
        return 13;
    } else {
        fprintf(stderr, "no step %s\n", kind);
        abort();
    }
    return KSEM_OK;
}

ksem_status handle(const ksem_batch *batch, ksem_output *out, void *user) {
    script *script = user;
    script->calls++;
    const cJSON *step;
    cJSON_ArrayForEach(step, script->steps) {
        ksem_status status = applies(step, script, batch) ? take(step, script, batch, out) : KSEM_OK;
        if (status != KSEM_OK) {
            return status;
        }
    }
    return KSEM_OK;
}
