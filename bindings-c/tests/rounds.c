/* Many rounds of open, process, fail and close: the process does not grow. `rounds COUNT` */
#include "check.h"

#include <malloc.h>

static ksem_status fail(const ksem_batch *batch, ksem_output *output, void *user) {
    (void)user;
    ksem_batch_headers(batch, 0);
    ksem_output_forward_all(output, "b");
    return ksem_output_fail(output, "each time");
}

static void one_round(const ksem_broker *broker) {
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = open_pipeline(broker, "rounds", "in");
    ksem_batch *batch = next_batch(pipeline);
    FAILS(ksem_pipeline_process(pipeline, batch, KSEM_EXACTLY_ONCE, fail, NULL, NULL, &error), KSEM_HANDLER_FAILED);
    forget(&error);
    ksem_batch_free(batch);
    close_pipeline(pipeline);
    FAILS(ksem_pipeline_open_toml("group = 1", &pipeline, &error), KSEM_CONFIG_INVALID);
    forget(&error);
}

/* Kilobytes that are in memory. */
static long resident(void) {
    long size = 0, pages = 0;
    malloc_trim(0);
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &size, &pages) == 2);
    fclose(file);
    return pages * 4;
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 100;
    ksem_broker *broker = start_broker();
    ksem_pipeline *pipeline = open_pipeline(broker, "filler", "in");
    publish_numbers(pipeline, "in", 100);
    close_pipeline(pipeline);
    long warm = 0;
    for (int i = 0; i < rounds; i++) {
        if (i == rounds / 4) {
            warm = resident();
        }
        one_round(broker);
    }
    long grown = resident() - warm;
    printf("rounds.c: %d rounds, %ld KiB more than after a quarter of them\n", rounds, grown);
    ksem_broker_free(broker);
    /* A leaked pipeline would be tens of KiB each round. */
    return grown > 2L * rounds + 2048;
}
