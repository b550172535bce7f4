#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

enum { MOST_THREADS = 64, MOST_RUNS = 1000000 };

static const char usage[] =
    "usage: sqbert-phone --inputs FILE [--threads N] [--warmup N] [--runs N] [--cpus N,N,...] [--watch FILE,FILE,...]\n"
    "                    [--max-seconds S] [--lifeline] MODEL.safetensors [MODEL.safetensors ...]\n";

static _Noreturn void wrong(const char *what, const char *where) {
    fprintf(stderr, "sqbert-phone: %s, %s\n%s", what, where, usage);
    exit(STATUS_USAGE);
}

static size_t whole_number(const char *text, size_t from, size_t to) {
    size_t digits = strspn(text, "0123456789");
    size_t value = digits && digits < 10 && !text[digits] ? strtoul(text, NULL, 10) : to + 1;
    if (value < from || value > to)
        wrong("not a number that is possible there", text);
    return value;
}

static double seconds(const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0)
        wrong("not a number of seconds", text);
    return value;
}

static void check_cpus(const char *text) {
    if (!*text || text[strspn(text, "0123456789,")])
        wrong("not a list of processors", text);
}

static void read_option(struct options *options, int name) {
    switch (name) {
    case 'i': options->inputs = optarg; break;
    case 't': options->threads = whole_number(optarg, 1, MOST_THREADS); break;
    case 'w': options->warmup = whole_number(optarg, 0, MOST_RUNS); break;
    case 'r': options->runs = whole_number(optarg, 0, MOST_RUNS); break;
    case 'c': check_cpus(optarg), options->cpus = optarg; break;
    case 'f': options->watch = optarg; break;
    case 's': options->max_seconds = seconds(optarg); break;
    case 'l': options->lifeline = true; break;
    default: wrong("an option that is unknown or lacks its value", "command line");
    }
}

struct options options_read(int count, char **arguments) {
    static const struct option names[] = {
        {"inputs", required_argument, NULL, 'i'}, {"threads", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'}, {"runs", required_argument, NULL, 'r'},
        {"cpus", required_argument, NULL, 'c'},   {"watch", required_argument, NULL, 'f'},
        {"max-seconds", required_argument, NULL, 's'}, {"lifeline", no_argument, NULL, 'l'}, {0},
    };
    struct options options = {.threads = 4, .warmup = 10, .runs = 50};
    opterr = 0; /* the messages are our own */
    for (int name; (name = getopt_long(count, arguments, "", names, NULL)) != -1;)
        read_option(&options, name);
    options.models = arguments + optind;
    options.num_models = (size_t)(count - optind);
    if (!options.inputs)
        wrong("--inputs is missing", "command line");
    if (!options.num_models)
        wrong("no model is named", "command line");
    return options;
}
