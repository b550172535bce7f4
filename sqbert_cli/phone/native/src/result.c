#include "result.h"

#include <math.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "fail.h"
#include "machine.h"

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "GCC " __VERSION__
#endif
#if defined __ARM_NEON
#define VECTORS "NEON"
#elif defined __SSE2__
#define VECTORS "SSE"
#else
#define VECTORS "none"
#endif

enum { MOST_PROCESSORS = 1024 };

static void print_string(const char *text) {
    putchar('"');
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            printf("\\u%04x", (unsigned char)*text);
        else
            printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    putchar('"');
}

static void print_machine(const struct bench *bench) {
    struct utsname about;
    int processors[MOST_PROCESSORS];
    size_t count = machine_affinity(processors, MOST_PROCESSORS);
    if (uname(&about))
        fail("uname", "cannot tell the machine");
    printf("\"machine\":");
    print_string(about.machine);
    printf(",\"release\":");
    print_string(about.release);
    printf(",\"threads\":%zu,\"affinity\":[", bench->options->threads);
    for (size_t i = 0; i < count; i++)
        printf("%s%d", i ? "," : "", processors[i]);
    printf("],\"length\":%zu", bench->inputs->length);
}

static void print_logits(const float *logits, size_t num_rows, size_t num_labels) {
    for (size_t row = 0; row < num_rows; row++)
        for (size_t label = 0; label < num_labels; label++)
            printf("%s%.9g%s", label ? "," : row ? ",[" : "[", (double)logits[row * num_labels + label],
                   label + 1 == num_labels ? "]" : "");
}

static void print_model(const struct bench *bench, const struct timed_model *timed) {
    const struct config *config = &timed->model.config;
    printf("{\"name\":");
    print_string(config->name);
    printf(",\"model_type\":\"%s\",\"load_ms\":%.9g,\"first_ms\":%.9g,\"logits\":[", config->model_type,
           timed->load_ms, timed->first_ms);
    print_logits(timed->logits, bench->inputs->num_rows, config->num_labels);
    printf("],\"times_ms\":[");
    for (size_t round = 0; round < bench->num_rounds; round++)
        printf("%s%.9g", round ? "," : "", timed->times[round]);
    printf("]}");
}

static void print_watched(const struct bench *bench) {
    for (size_t round = 0; round < bench->num_rounds; round++) {
        printf(round ? ",[" : "[");
        for (size_t i = 0; i < bench->num_watched; i++) {
            double value = bench->readings[round * bench->num_watched + i];
            printf(isnan(value) ? "%snull" : "%s%.0f", i ? "," : "", value);
        }
        putchar(']');
    }
}

void result_print(const struct bench *bench) {
    printf("{\"runner\":\"native\",\"version\":\"1\",\"engine\":\"C, " COMPILER ", " VECTORS
           "\",\"path\":\"grouped products\",");
    print_machine(bench);
    printf(",\"models\":[");
    for (size_t i = 0; i < bench->options->num_models; i++) {
        if (i)
            putchar(',');
        print_model(bench, &bench->models[i]);
    }
    printf("],\"watched\":[");
    print_watched(bench);
    printf("],\"peak_kb\":%ld}\n", machine_peak_kb());
    if (fflush(stdout) || ferror(stdout))
        fail("stdout", "cannot write the result");
}
