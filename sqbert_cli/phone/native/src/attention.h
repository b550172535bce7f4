/* Scaled dot-product attention. */
#pragma once
#include "lanes.h"
#include "pool.h"

struct attention {
    size_t num_heads, head_size;
    size_t length, num_real;          /* tokens of the row; those before the padding */
    const lanes *query, *key, *value; /* (T/8, C, 8) */
    lanes *context;                   /* (T/8, C, 8) */
    lanes *room;                      /* `attention_room` vectors for each head */
};

size_t attention_room(size_t length, size_t head_size);
void attention_forward(struct pool *pool, const struct attention *attention);
