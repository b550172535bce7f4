/* Grouped position-wise layers: the paper's convolutions of kernel size 1, as independent products. */
#pragma once
#include <stdbool.h>

#include "lanes.h"
#include "pool.h"
#include "safetensors.h"

struct linear {
    size_t groups, in_size, out_size; /* sizes of one group */
    lanes *weight;                    /* (groups, out_size / 8, in_size, 8), the last panel filled up with 0 */
    const float *bias;                /* (groups, out_size) */
};

/* Read `<name>.weight`, (out, in / groups) or (out, in / groups, 1), and `<name>.bias`. */
struct linear linear_read(const struct safetensors *file, const char *name, size_t num_dimensions, size_t in_size,
                          size_t out_size, size_t groups);

/* *Shapes:* (token_panels, in, 8) -> (token_panels, out, 8). */
void linear_forward(struct pool *pool, const struct linear *linear, const lanes *in, lanes *out, size_t token_panels,
                    bool then_gelu);
