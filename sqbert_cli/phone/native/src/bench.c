#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "encoder.h"
#include "fail.h"
#include "machine.h"

enum { FEWEST_ROUNDS = 10 };

static double run_row(const struct bench *bench, const struct model *model, size_t index, float *logits) {
    const struct inputs *inputs = bench->inputs;
    struct row row = {inputs->ids + index * inputs->length, inputs->length, inputs->num_real[index]};
    double start = milliseconds();
    encoder_forward(bench->pool, model, &row, logits);
    return milliseconds() - start;
}

static void check_finite(const struct timed_model *timed, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(timed->logits[i]))
            fail(timed->model.path, "the logits are not finite");
}

void bench_load(struct bench *bench, size_t index) {
    struct timed_model *timed = &bench->models[index];
    size_t num_rows = bench->inputs->num_rows;
    double start = milliseconds();
    timed->model = model_load(bench->options->models[index], bench->inputs->length);
    timed->load_ms = milliseconds() - start;
    const struct config *config = &timed->model.config;
    inputs_check(bench->inputs, config->vocab_size, timed->model.path);
    timed->logits = allocate(num_rows * config->num_labels, sizeof *timed->logits);
    timed->times = allocate(bench->options->runs, sizeof *timed->times);
    timed->first_ms = run_row(bench, &timed->model, 0, timed->logits);
    for (size_t row = 0; row < num_rows; row++)
        run_row(bench, &timed->model, row, timed->logits + row * config->num_labels);
    check_finite(timed, num_rows * config->num_labels);
}

static double read_number(const char *path) {
    FILE *file = fopen(path, "r");
    long long value;
    if (!file)
        return NAN;
    int found = fscanf(file, "%lld", &value);
    fclose(file);
    return found == 1 ? (double)value : NAN;
}

static void split_watched(struct bench *bench) {
    for (char *path = bench->options->watch; path && *path;) {
        char *comma = strchr(path, ',');
        bench->watched = grow(bench->watched, bench->num_watched, sizeof *bench->watched);
        bench->watched[bench->num_watched++] = path;
        if (comma)
            *comma = 0;
        path = comma ? comma + 1 : NULL;
    }
}

/* Every model once, in an order that turns with the rounds. */
static void run_round(struct bench *bench, size_t round, bool keep) {
    size_t num_models = bench->options->num_models;
    for (size_t i = 0; i < num_models; i++) {
        struct timed_model *timed = &bench->models[(i + round) % num_models];
        double time = run_row(bench, &timed->model, 0, timed->logits);
        if (keep)
            timed->times[round] = time;
    }
}

void bench_rounds(struct bench *bench) {
    const struct options *options = bench->options;
    split_watched(bench);
    bench->readings = allocate(options->runs * bench->num_watched, sizeof *bench->readings);
    for (size_t round = 0; options->runs && round < options->warmup; round++)
        run_round(bench, round, false);
    double start = milliseconds();
    while (bench->num_rounds < options->runs) {
        size_t round = bench->num_rounds++;
        run_round(bench, round, true);
        for (size_t i = 0; i < bench->num_watched; i++)
            bench->readings[round * bench->num_watched + i] = read_number(bench->watched[i]);
        if (options->max_seconds > 0 && bench->num_rounds >= FEWEST_ROUNDS &&
            milliseconds() - start > 1e3 * options->max_seconds)
            break;
    }
}
