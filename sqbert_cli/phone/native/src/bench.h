/* Runs every model, and takes the time. */
#pragma once
#include "inputs.h"
#include "model.h"
#include "options.h"

struct timed_model {
    struct model model;
    double load_ms, first_ms;
    float *logits; /* (num_rows, num_labels) */
    double *times; /* one a round */
};

struct bench {
    const struct options *options;
    const struct inputs *inputs;
    struct pool *pool;
    struct timed_model *models; /* `options->num_models` */
    size_t num_rounds;
    char **watched; /* the files that are read after each round */
    size_t num_watched;
    double *readings; /* (num_rounds, num_watched), NAN where a file could not be read */
};

/* Load a model, run it cold, then compute the logits of all rows. */
void bench_load(struct bench *bench, size_t index);

/* The rounds: in each every model runs once, so that heat and clock changes meet all alike. */
void bench_rounds(struct bench *bench);
