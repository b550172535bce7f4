/* One network, ready to run: its weights packed, and room for one row of tokens. */
#pragma once
#include "config.h"
#include "linear.h"
#include "norm.h"

struct layer {
    struct linear query, key, value, post_attention, intermediate, output;
    struct norm post_attention_norm, output_norm;
};

/* Room for a row, (T/8, width, 8) each. */
struct workspace {
    lanes *hidden, *query, *key, *value, *context, *change, *intermediate, *attention, *logits;
};

struct model {
    const char *path;
    struct config config;
    const float *word_embeddings, *position_embeddings, *token_type_embeddings;
    struct norm embeddings_norm;
    struct layer *layers;
    struct linear pooler, classifier;
    struct workspace workspace;
};

/* Read a file for rows of `length` tokens. */
struct model model_load(const char *path, size_t length);
