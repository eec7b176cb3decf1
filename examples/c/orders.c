/* Orders become invoices and analytics, under a guarantee from the command line:
 *
 *     cc orders.c $(pkg-config --cflags --libs ksem) -o orders && ./orders localhost:9092 exactly_once
 */
#include <inttypes.h>
#include <ksem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ksem_status bill(const ksem_batch *batch, ksem_output *out, void *user) {
    ksem_records orders = ksem_batch_records(batch);
    for (size_t i = 0; i < orders.len; i++) {
        const ksem_record *order = &orders.items[i];
        char invoice[256];
        int length = snprintf(invoice, sizeof invoice, "invoice for %.*s", (int)order->value.len,
                              order->value.data ? (const char *)order->value.data : "");
        if (length >= (int)sizeof invoice) {
            return ksem_output_fail(out, "an order is too long");
        }
        ksem_output_send(out, "invoices", order->key, ksem_text(invoice));
    }
    *(uint64_t *)user += orders.len;
    return ksem_output_forward_all(out, "analytics"); /* unchanged, with headers and timestamps */
}

static int failed(ksem_error *error) {
    fprintf(stderr, "%s\n", ksem_error_text(error));
    int retry = strcmp(ksem_error_retry(error), "never") != 0;
    ksem_error_free(error);
    return retry ? 75 : 1;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: orders BOOTSTRAP at_most_once|at_least_once|exactly_once\n");
        return 2;
    }
    char config[1024];
    snprintf(config, sizeof config,
             "group = 'orders-c-%s'\ninputs = ['orders']\nguarantee = '%s'\n[kafka]\n'bootstrap.servers' = '%s'\n",
             argv[2], argv[2], argv[1]);
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = NULL;
    if (ksem_pipeline_open_toml(config, &pipeline, &error) != KSEM_OK) {
        return failed(error);
    }
    uint64_t orders = 0;
    if (ksem_pipeline_run(pipeline, KSEM_UNTIL_CAUGHT_UP, bill, &orders, &error) != KSEM_OK ||
        ksem_pipeline_close(pipeline, &error) != KSEM_OK) {
        return failed(error);
    }
    ksem_pipeline_free(pipeline);
    printf("%s: %" PRIu64 " orders\n", argv[2], orders);
    return 0;
}
