/* Mistakes in the use of ksem that the sanitizers and valgrind have to find, or they were not watching. */
#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    ksem_output *output = ksem_output_new();
    CHECK(ksem_output_send(output, "topic", ksem_text("key"), ksem_text("value")) == KSEM_OK);
    if (strcmp(argv[1], "leak") == 0) {
        output = NULL;
        return 0;
    }
    ksem_error *error = NULL;
    FAILS(ksem_pipeline_open_toml("group = 1", &(ksem_pipeline *){NULL}, &error), KSEM_CONFIG_INVALID);
    const char *message = ksem_error_message(error);
    ksem_error_free(error);
    ksem_output_free(output);
    return strlen(message) == 0;
}
