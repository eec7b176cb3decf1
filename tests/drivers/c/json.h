/* The protocol's forms of ksem's values. */
#ifndef DRIVER_JSON_H
#define DRIVER_JSON_H

#include <cjson/cJSON.h>
#include <ksem.h>
#include <stdbool.h>

/* Bytes that are the driver's own; `data` is NULL for null. */
typedef struct {
    char *data;
    size_t len;
} owned_bytes;

owned_bytes decoded(const cJSON *value);
cJSON *encoded(ksem_bytes bytes);
/* A member's text; "" if it has none. */
const char *text_of(const cJSON *object, const char *name);

/* Sends each record of a list. The output remembers what is wrong. */
void send_records(const cJSON *records, ksem_output *out);
/* Adds the columns of a batch. */
void add_columns(const ksem_batch *batch, cJSON *to);
cJSON *report_json(ksem_report *report);
cJSON *error_json(ksem_error *error);
cJSON *error_table(void);
cJSON *metrics_json(ksem_metrics *metrics);

#endif
