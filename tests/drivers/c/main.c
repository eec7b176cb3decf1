/* The conformance driver of C: see tests/PROTOCOL.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handler.h"

/* Objects that the runner has named; they are kept when they are used up. */
static struct named {
    char kind[16];
    char *name;
    void *object;
    struct named *next;
} *all;
static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;

/* One request, its reply, and what is wrong with it. */
typedef struct {
    cJSON *request;
    cJSON *ok;
    ksem_error *error;
    char broken[128];
} work;

static struct named *find(const char *kind, const char *name) {
    for (struct named *named = all; named != NULL; named = named->next) {
        if (strcmp(named->kind, kind) == 0 && strcmp(named->name, name) == 0) {
            return named;
        }
    }
    return NULL;
}

/* Gives an object the name that the request has for its kind. */
static void keep(const work *work, const char *kind, void *object) {
    const char *name = text_of(work->request, kind);
    pthread_mutex_lock(&naming);
    struct named *named = find(kind, name);
    if (named == NULL) {
        named = calloc(1, sizeof *named);
        snprintf(named->kind, sizeof named->kind, "%s", kind);
        named->name = strdup(name);
        named->next = all;
        all = named;
    }
    named->object = object;
    pthread_mutex_unlock(&naming);
}

/* The object that the request names; NULL if it was let go of, which ksem takes for the misuse that it is. */
static void *object(work *work, const char *kind) {
    pthread_mutex_lock(&naming);
    struct named *named = find(kind, text_of(work->request, kind));
    void *object = named ? named->object : NULL;
    pthread_mutex_unlock(&naming);
    if (named == NULL) {
        snprintf(work->broken, sizeof work->broken, "no %s has the name %.60s", kind, text_of(work->request, kind));
    }
    return object;
}

static ksem_guarantee guarantee(work *work) {
    ksem_guarantee guarantee = -1;
    if (ksem_guarantee_parse(text_of(work->request, "guarantee"), &guarantee, NULL) != KSEM_OK) {
        snprintf(work->broken, sizeof work->broken, "no such guarantee");
    }
    return guarantee;
}

static const cJSON *member(const work *work, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(work->request, name);
}

static void hello(work *work) {
    cJSON_AddStringToObject(work->ok, "language", "c");
    cJSON_AddStringToObject(work->ok, "version", ksem_version());
    cJSON_AddNumberToObject(work->ok, "protocol", 1);
}

static void errors(work *work) {
    cJSON_Delete(work->ok);
    work->ok = error_table();
}

static void open_pipe(work *work) {
    ksem_pipeline *pipeline = NULL;
    if (member(work, "config_file") != NULL) {
        ksem_pipeline_open_file(text_of(work->request, "config_file"), &pipeline, &work->error);
    } else if (member(work, "config_text") != NULL) {
        ksem_pipeline_open_json(text_of(work->request, "config_text"), &pipeline, &work->error);
    } else {
        char *text = cJSON_PrintUnformatted(member(work, "config"));
        ksem_pipeline_open_json(text, &pipeline, &work->error);
        free(text);
    }
    if (pipeline != NULL) {
        cJSON_AddStringToObject(work->ok, "instance_id", ksem_pipeline_instance_id(pipeline));
        keep(work, "pipe", pipeline);
    }
}

static void poll_batch(work *work) {
    ksem_batch *batch = NULL;
    const cJSON *timeout = member(work, "timeout_ms");
    ksem_pipeline_poll(object(work, "pipe"), timeout ? (uint64_t)timeout->valuedouble : 0, &batch, &work->error);
    cJSON_AddNumberToObject(work->ok, "records", (double)ksem_batch_len(batch));
    if (batch != NULL) {
        keep(work, "batch", batch);
        if (cJSON_IsTrue(member(work, "columns"))) {
            add_columns(batch, work->ok);
        }
    }
}

static void drop(work *work) {
    ksem_batch_free(object(work, "batch"));
    keep(work, "batch", NULL);
}

static void replace(work *work, ksem_report *report) {
    if (report != NULL) {
        cJSON_Delete(work->ok);
        work->ok = report_json(report);
    }
}

static script script_of(const work *work) {
    return (script){.id = member(work, "id"), .steps = member(work, "handler"), .calls = 0};
}

static void process(work *work) {
    script script = script_of(work);
    ksem_report *report = NULL;
    ksem_pipeline_process(object(work, "pipe"), object(work, "batch"), guarantee(work), handle, &script, &report,
                          &work->error);
    replace(work, report);
}

static void run(work *work) {
    script script = script_of(work);
    ksem_pipeline_run(object(work, "pipe"), KSEM_UNTIL_STOPPED, handle, &script, &work->error);
}

static void begin(work *work) {
    ksem_attempt *attempt = NULL;
    ksem_pipeline_begin(object(work, "pipe"), object(work, "batch"), guarantee(work), &attempt, &work->error);
    if (attempt != NULL) {
        keep(work, "attempt", attempt);
    }
}

static void send_to_attempt(work *work) { send_records(member(work, "records"), ksem_attempt_output(object(work, "attempt"))); }

static void forward(work *work) {
    ksem_output_forward_all(ksem_attempt_output(object(work, "attempt")), text_of(work->request, "topic"));
}

static void commit(work *work) {
    ksem_report *report = NULL;
    ksem_attempt_commit(object(work, "attempt"), &report, &work->error);
    replace(work, report);
}

static void abort_attempt(work *work) {
    ksem_report *report = NULL;
    ksem_attempt_abort(object(work, "attempt"), text_of(work->request, "reason"), &report, &work->error);
    replace(work, report);
}

static void publish(work *work) {
    ksem_output *records = ksem_output_new();
    uint64_t acknowledged = 0;
    send_records(member(work, "records"), records);
    ksem_pipeline_publish(object(work, "pipe"), records, guarantee(work), &acknowledged, &work->error);
    cJSON_AddNumberToObject(work->ok, "records", (double)acknowledged);
    ksem_output_free(records);
}

static void stop(work *work) { ksem_pipeline_stop(object(work, "pipe")); }

static void close_pipe(work *work) { ksem_pipeline_close(object(work, "pipe"), &work->error); }

static void metrics(work *work) {
    ksem_metrics *metrics = NULL;
    if (ksem_pipeline_metrics(object(work, "pipe"), &metrics, &work->error) == KSEM_OK) {
        cJSON_Delete(work->ok);
        work->ok = metrics_json(metrics);
    }
}

static void start_broker(work *work) {
    ksem_broker *broker = NULL;
    if (ksem_broker_start(NULL, &broker, &work->error) != KSEM_OK) {
        return;
    }
    const cJSON *topic;
    cJSON_ArrayForEach(topic, member(work, "topics")) {
        const char *name = cJSON_GetStringValue(cJSON_GetArrayItem(topic, 0));
        ksem_broker_create_topic(broker, name, cJSON_GetArrayItem(topic, 1)->valueint, NULL);
    }
    cJSON_AddStringToObject(work->ok, "bootstrap", ksem_broker_bootstrap(broker));
    keep(work, "broker", broker);
}

static void stop_broker(work *work) {
    ksem_broker_free(object(work, "broker"));
    keep(work, "broker", NULL);
}

static void end_pause(work *work) { resume(text_of(work->request, "at")); }

/* `main` ends after the reply. */
static void leave(work *work) { (void)work; }

static const struct {
    const char *name;
    void (*serve)(work *work);
} VERBS[] = {
    {"hello", hello},     {"errors", errors},       {"open", open_pipe},          {"poll", poll_batch},
    {"drop", drop},       {"process", process},     {"run", run},                 {"begin", begin},
    {"send", send_to_attempt}, {"forward", forward}, {"commit", commit},          {"abort", abort_attempt},
    {"publish", publish}, {"stop", stop},           {"close", close_pipe},        {"metrics", metrics},
    {"broker", start_broker}, {"broker_stop", stop_broker}, {"resume", end_pause},
    {"exit", leave},
};

static void *serve(void *argument) {
    work *work = argument;
    const char *verb = text_of(work->request, "do");
    size_t count = sizeof VERBS / sizeof *VERBS, i = 0;
    while (i < count && strcmp(VERBS[i].name, verb) != 0) {
        i++;
    }
    if (i < count) {
        VERBS[i].serve(work);
    } else {
        snprintf(work->broken, sizeof work->broken, "no verb %.60s", verb);
    }
    cJSON *reply = cJSON_CreateObject();
    cJSON_AddItemToObject(reply, "id", cJSON_Duplicate(member(work, "id"), true));
    if (work->broken[0] != 0) {
        cJSON_AddStringToObject(reply, "broken", work->broken);
    } else if (work->error != NULL) {
        cJSON_AddItemToObject(reply, "error", error_json(work->error));
    } else {
        cJSON_AddItemToObject(reply, "ok", work->ok);
        work->ok = NULL;
    }
    say(reply);
    cJSON_Delete(work->ok);
    cJSON_Delete(work->request);
    free(work);
    return NULL;
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        work *work = calloc(1, sizeof *work);
        work->request = cJSON_Parse(line);
        work->ok = cJSON_CreateObject();
        if (work->request == NULL) {
            fputs("a line that is no JSON\n", stderr);
            return 1;
        }
        if (strcmp(text_of(work->request, "do"), "exit") == 0) {
            serve(work);
            break;
        }
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, work) != 0) {
            return 1;
        }
        pthread_detach(thread);
    }
    /* Without closing what is open. */
    fflush(stdout);
    _Exit(0);
}
