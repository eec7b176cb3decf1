/* Copies a topic with libksem, as the program in Rust does: nothing is copied in the handler. */
#include <cjson/cJSON.h>
#include <ksem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    const char *output;
    uint64_t records;
    ksem_pipeline *pipeline;
    double first, last, first_unix;
} work;

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static ksem_status copy(const ksem_batch *batch, ksem_output *out, void *user) {
    work *self = user;
    if (self->first == 0) {
        self->first_unix = seconds(CLOCK_REALTIME);
        self->first = seconds(CLOCK_MONOTONIC);
    }
    (void)batch;
    return ksem_output_forward_all(out, self->output);
}

static uint64_t counted(const ksem_pipeline *pipeline, const char *name) {
    ksem_metrics *metrics = NULL;
    if (ksem_pipeline_metrics(pipeline, &metrics, NULL) != KSEM_OK) {
        return 0;
    }
    uint64_t value = ksem_metrics_get(metrics, name);
    ksem_metrics_free(metrics);
    return value;
}

/* `ksem_pipeline_run` returns a moment after the last commit. */
static void *watch(void *user) {
    work *self = user;
    while (counted(self->pipeline, "records_in") < self->records) {
        usleep(1000);
    }
    self->last = seconds(CLOCK_MONOTONIC);
    ksem_pipeline_stop(self->pipeline);
    return NULL;
}

static void check(ksem_status status, ksem_error *error) {
    if (status != KSEM_OK) {
        fprintf(stderr, "%s\n", ksem_error_text(error));
        exit(1);
    }
}

static const char *text(const cJSON *object, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
}

int main(int argc, char **argv) {
    cJSON *job = cJSON_Parse(argv[argc - 1]);
    const cJSON *contestant = cJSON_GetObjectItem(job, "contestant");
    const cJSON *cadence = cJSON_GetObjectItem(contestant, "cadence");
    work self = {.output = text(job, "output")};
    self.records = (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(job, "records"));
    char config[1024];
    snprintf(config, sizeof config,
             "group = '%s'\ninputs = ['%s']\nguarantee = '%s'\n[commit]\nmax_records = %.0f\n[kafka]\n"
             "'bootstrap.servers' = '%s'\n",
             text(job, "group"), text(job, "input"), text(contestant, "guarantee"),
             cJSON_GetNumberValue(cJSON_GetObjectItem(cadence, "records")), text(job, "bootstrap"));
    ksem_error *error = NULL;
    check(ksem_pipeline_open_toml(config, &self.pipeline, &error), error);
    pthread_t watcher;
    pthread_create(&watcher, NULL, watch, &self);
    check(ksem_pipeline_run(self.pipeline, KSEM_UNTIL_STOPPED, copy, &self, &error), error);
    pthread_join(watcher, NULL);
    uint64_t retried = counted(self.pipeline, "batches_retried") + counted(self.pipeline, "transactions_aborted");
    check(ksem_pipeline_close(self.pipeline, &error), error);
    printf("{\"first_unix_us\": %.0f, \"elapsed_s\": %.6f, \"retried\": %llu}\n", self.first_unix * 1e6,
           self.last - self.first, (unsigned long long)retried);
    fflush(stdout);
    /* The bench reads what this process has used, then ends its standard input. */
    while (getchar() != EOF) {
    }
    ksem_pipeline_free(self.pipeline);
    cJSON_Delete(job);
    return 0;
}
