/* The command line. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct options {
    const char *inputs;
    char *const *models;
    size_t num_models, threads, warmup, runs;
    const char *cpus;     /* as written, NULL for any */
    char *watch;          /* likewise; taken apart by the watch */
    double max_seconds;   /* 0: no limit */
    bool lifeline;
};

/* A wrong command line ends the program with STATUS_USAGE. */
struct options options_read(int count, char **arguments);
