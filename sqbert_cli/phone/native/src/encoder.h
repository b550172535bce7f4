/* The forward pass of one row: token ids to logits. */
#pragma once
#include <stdint.h>

#include "model.h"

struct row {
    const uint32_t *ids;
    size_t length, num_real; /* the ids from `num_real` on are padding */
};

/* `logits` gets `num_labels` numbers. */
void encoder_forward(struct pool *pool, const struct model *model, const struct row *row, float *logits);
