#include "json.h"

#include <stdlib.h>
#include <string.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

owned_bytes decoded(const cJSON *value) {
    owned_bytes bytes = {NULL, 0};
    if (!cJSON_IsString(value)) {
        return bytes;
    }
    bytes.data = malloc(strlen(value->valuestring) + 1);
    unsigned buffer = 0;
    int bits = 0;
    for (const char *c = value->valuestring; *c != 0 && *c != '='; c++) {
        buffer = buffer << 6 | (unsigned)(strchr(DIGITS, *c) - DIGITS);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes.data[bytes.len++] = (char)(buffer >> bits & 0xff);
        }
    }
    return bytes;
}

cJSON *encoded(ksem_bytes bytes) {
    if (bytes.data == NULL) {
        return cJSON_CreateNull();
    }
    const unsigned char *data = bytes.data;
    char *text = malloc(bytes.len / 3 * 4 + 5), *to = text;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        unsigned three = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);
        *to++ = DIGITS[three >> 18];
        *to++ = DIGITS[three >> 12 & 0x3f];
        *to++ = left > 1 ? DIGITS[three >> 6 & 0x3f] : '=';
        *to++ = left > 2 ? DIGITS[three & 0x3f] : '=';
    }
    *to = 0;
    cJSON *value = cJSON_CreateString(text);
    free(text);
    return value;
}

const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text ? text : "";
}

static ksem_bytes view(owned_bytes bytes) { return (ksem_bytes){bytes.data, bytes.len}; }

static void send_one(const cJSON *record, ksem_output *out) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(record, "headers");
    const cJSON *fill = cJSON_GetObjectItemCaseSensitive(record, "fill");
    const cJSON *partition = cJSON_GetObjectItemCaseSensitive(record, "partition");
    const cJSON *timestamp = cJSON_GetObjectItemCaseSensitive(record, "timestamp");
    owned_bytes key = decoded(cJSON_GetObjectItemCaseSensitive(record, "key"));
    owned_bytes value = decoded(cJSON_GetObjectItemCaseSensitive(record, "value"));
    if (cJSON_IsNumber(fill)) {
        value.len = (size_t)fill->valuedouble;
        value.data = memset(malloc(value.len + 1), 'x', value.len);
    }
    size_t count = list ? (size_t)cJSON_GetArraySize(list) : 0, i = 0;
    ksem_header *headers = calloc(count + 1, sizeof *headers);
    owned_bytes *values = calloc(count + 1, sizeof *values);
    const cJSON *header;
    cJSON_ArrayForEach(header, list) {
        values[i] = decoded(cJSON_GetArrayItem(header, 1));
        headers[i].name = cJSON_GetStringValue(cJSON_GetArrayItem(header, 0));
        headers[i].value = view(values[i]);
        i++;
    }
    const int32_t to = cJSON_IsNumber(partition) ? (int32_t)partition->valuedouble : 0;
    const int64_t at = cJSON_IsNumber(timestamp) ? (int64_t)timestamp->valuedouble : 0;
    const ksem_output_record sent = {.key = view(key),
                                     .value = view(value),
                                     .headers = headers,
                                     .header_count = count,
                                     .partition = cJSON_IsNumber(partition) ? &to : NULL,
                                     .timestamp = cJSON_IsNumber(timestamp) ? &at : NULL};
    ksem_output_send_record(out, text_of(record, "topic"), &sent);
    while (i > 0) {
        free(values[--i].data);
    }
    free(values), free(headers), free(key.data), free(value.data);
}

void send_records(const cJSON *records, ksem_output *out) {
    const cJSON *record;
    cJSON_ArrayForEach(record, records) {
        send_one(record, out);
    }
}

static cJSON *number_or_null(int64_t number, int64_t null) {
    return number == null ? cJSON_CreateNull() : cJSON_CreateNumber((double)number);
}

void add_columns(const ksem_batch *batch, cJSON *to) {
    ksem_columns all = ksem_batch_columns(batch);
    cJSON *topics = cJSON_AddArrayToObject(to, "topics"), *partitions = cJSON_AddArrayToObject(to, "partitions");
    cJSON *offsets = cJSON_AddArrayToObject(to, "offsets"), *timestamps = cJSON_AddArrayToObject(to, "timestamps");
    cJSON *keys = cJSON_AddArrayToObject(to, "keys"), *values = cJSON_AddArrayToObject(to, "values");
    cJSON *headers = cJSON_AddArrayToObject(to, "headers");
    for (size_t i = 0; i < all.len; i++) {
        cJSON_AddItemToArray(topics, cJSON_CreateString(all.topics[i]));
        cJSON_AddItemToArray(partitions, cJSON_CreateNumber(all.partitions[i]));
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)all.offsets[i]));
        cJSON_AddItemToArray(timestamps, number_or_null(all.timestamps[i], KSEM_NO_TIMESTAMP));
        cJSON_AddItemToArray(keys, encoded(all.keys[i]));
        cJSON_AddItemToArray(values, encoded(all.values[i]));
        cJSON *list = cJSON_CreateArray();
        ksem_headers of = ksem_batch_headers(batch, i);
        for (size_t k = 0; k < of.len; k++) {
            cJSON *pair = cJSON_CreateArray();
            cJSON_AddItemToArray(pair, cJSON_CreateString(of.items[k].name));
            cJSON_AddItemToArray(pair, encoded(of.items[k].value));
            cJSON_AddItemToArray(list, pair);
        }
        cJSON_AddItemToArray(headers, list);
    }
}

static cJSON *text_or_null(const char *text) { return text ? cJSON_CreateString(text) : cJSON_CreateNull(); }

cJSON *report_json(ksem_report *report) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "applied", ksem_applied_name(ksem_report_applied(report)));
    cJSON_AddStringToObject(json, "guarantee", ksem_guarantee_name(ksem_report_guarantee(report)));
    cJSON_AddNumberToObject(json, "records", (double)ksem_report_records(report));
    cJSON_AddNumberToObject(json, "outputs", (double)ksem_report_outputs(report));
    cJSON_AddNumberToObject(json, "dead_lettered", (double)ksem_report_dead_lettered(report));
    cJSON_AddNumberToObject(json, "skipped", (double)ksem_report_skipped(report));
    cJSON_AddNumberToObject(json, "retried", (double)ksem_report_retried(report));
    cJSON_AddNumberToObject(json, "attempts", ksem_report_attempts(report));
    cJSON_AddItemToObject(json, "cause", text_or_null(ksem_report_cause(report)));
    cJSON *offsets = cJSON_AddArrayToObject(json, "offsets");
    ksem_positions all = ksem_report_offsets(report);
    for (size_t i = 0; i < all.len; i++) {
        cJSON *at = cJSON_CreateArray();
        cJSON_AddItemToArray(at, cJSON_CreateString(all.items[i].topic));
        cJSON_AddItemToArray(at, cJSON_CreateNumber(all.items[i].partition));
        cJSON_AddItemToArray(at, cJSON_CreateNumber((double)all.items[i].offset));
        cJSON_AddItemToArray(offsets, at);
    }
    ksem_report_free(report);
    return json;
}

cJSON *error_json(ksem_error *error) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "code", ksem_error_name(error));
    cJSON_AddNumberToObject(json, "number", ksem_error_status(error));
    cJSON_AddStringToObject(json, "class", ksem_error_class(error));
    cJSON_AddStringToObject(json, "retry", ksem_error_retry(error));
    cJSON_AddStringToObject(json, "outcome", ksem_error_outcome(error));
    cJSON_AddStringToObject(json, "message", ksem_error_message(error));
    bool said = ksem_error_handler_status(error) == KSEM_HANDLER_FAILED;
    cJSON_AddItemToObject(json, "thrown", text_or_null(said ? ksem_error_handler_message(error) : NULL));
    ksem_error_free(error);
    return json;
}

cJSON *error_table(void) {
    cJSON *json = cJSON_CreateObject(), *all = cJSON_AddArrayToObject(json, "errors");
    for (size_t i = 0; i < ksem_code_count(); i++) {
        ksem_status code = ksem_code_at(i);
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "code", ksem_code_name(code));
        cJSON_AddNumberToObject(row, "number", code);
        cJSON_AddStringToObject(row, "class", ksem_code_class(code));
        cJSON_AddStringToObject(row, "retry", ksem_code_retry(code));
        cJSON_AddStringToObject(row, "outcome", ksem_code_outcome(code));
        cJSON_AddItemToArray(all, row);
    }
    return json;
}

cJSON *metrics_json(ksem_metrics *metrics) {
    cJSON *json = cJSON_CreateObject();
    for (size_t i = 0; i < ksem_metrics_len(metrics); i++) {
        cJSON_AddNumberToObject(json, ksem_metrics_name(metrics, i), (double)ksem_metrics_value(metrics, i));
    }
    ksem_metrics_free(metrics);
    return json;
}
