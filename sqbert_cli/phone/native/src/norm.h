/* LayerNorm over the channels. */
#pragma once
#include "lanes.h"
#include "pool.h"
#include "safetensors.h"

struct norm {
    size_t size;
    const float *weight, *bias;
    float eps;
};

struct norm norm_read(const struct safetensors *file, const char *name, size_t size, float eps);

/* Eight tokens in place. *Shapes:* (C, 8) */
void norm_panel(const struct norm *norm, lanes *hidden);

/* hidden = LayerNorm(hidden + change). *Shapes:* (token_panels, C, 8) twice. */
void norm_residual(struct pool *pool, const struct norm *norm, lanes *hidden, const lanes *change,
                   size_t token_panels);
