#include "norm.h"

#include <math.h>
#include <stdio.h>

enum { LONGEST_NAME = 160 };

struct norm norm_read(const struct safetensors *file, const char *name, size_t size, float eps) {
    char path[LONGEST_NAME];
    struct norm norm = {.size = size, .eps = eps};
    snprintf(path, sizeof path, "%s.weight", name);
    norm.weight = safetensors_tensor(file, path, 1, (uint64_t[]){size});
    snprintf(path, sizeof path, "%s.bias", name);
    norm.bias = safetensors_tensor(file, path, 1, (uint64_t[]){size});
    return norm;
}

void norm_panel(const struct norm *norm, lanes *hidden) {
    lanes sum = {0}, squares = {0}, factor;
    for (size_t channel = 0; channel < norm->size; channel++)
        sum += hidden[channel];
    lanes mean = sum / (float)norm->size;
    for (size_t channel = 0; channel < norm->size; channel++)
        squares += (hidden[channel] - mean) * (hidden[channel] - mean);
    lanes variance = squares / (float)norm->size + norm->eps;
    for (size_t token = 0; token < LANES; token++)
        factor[token] = 1 / sqrtf(variance[token]);
    for (size_t channel = 0; channel < norm->size; channel++)
        hidden[channel] = (hidden[channel] - mean) * factor * norm->weight[channel] + norm->bias[channel];
}

struct residual {
    const struct norm *norm;
    lanes *hidden;
    const lanes *change;
};

static void add_and_norm(const void *job, size_t panel) {
    const struct residual *residual = job;
    size_t size = residual->norm->size;
    lanes *hidden = residual->hidden + panel * size;
    const lanes *change = residual->change + panel * size;
    for (size_t channel = 0; channel < size; channel++)
        hidden[channel] += change[channel];
    norm_panel(residual->norm, hidden);
}

void norm_residual(struct pool *pool, const struct norm *norm, lanes *hidden, const lanes *change,
                   size_t token_panels) {
    struct residual residual = {norm, hidden, change};
    pool_run(pool, add_and_norm, &residual, token_panels);
}
