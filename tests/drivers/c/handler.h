/* Handlers that are data. */
#ifndef DRIVER_HANDLER_H
#define DRIVER_HANDLER_H

#include <pthread.h>

#include "json.h"

/* The steps of one request's handler, which runs on the thread of its request. */
typedef struct {
    const cJSON *id;
    const cJSON *steps;
    int calls;
} script;

ksem_status handle(const ksem_batch *batch, ksem_output *out, void *user);

/* Writes a line at once, and lets go of it. */
void say(cJSON *line);
/* Ends a pause, now or when it begins. */
void resume(const char *at);

#endif
