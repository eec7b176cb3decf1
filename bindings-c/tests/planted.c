/* Mistakes in the use of ksem that the sanitizers and valgrind have to find, or they were not watching. */
#include "check.h"

/* In a function of its own, so that no pointer is left on the stack. */
static __attribute__((noinline)) void leak(void) {
    for (int i = 0; i < 20; i++) {
        ksem_output *output = ksem_output_new();
        CHECK(ksem_output_send(output, "topic", ksem_text("key"), ksem_text("value")) == KSEM_OK);
    }
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    if (strcmp(argv[1], "leak") == 0) {
        leak();
        return 0;
    }
    ksem_error *error = NULL;
    ksem_pipeline *pipeline = NULL;
    FAILS(ksem_pipeline_open_toml("group = 1", &pipeline, &error), KSEM_CONFIG_INVALID);
    const char *message = ksem_error_message(error);
    ksem_error_free(error);
    return strlen(message) == 0;
}
