/* The shape of a network, under the names of `SqueezeBertConfig`. */
#pragma once
#include <stddef.h>

#include "safetensors.h"

struct config {
    const char *name, *model_type;
    size_t vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size;
    size_t max_position_embeddings, type_vocab_size, num_labels;
    size_t q_groups, k_groups, v_groups, post_attention_groups, intermediate_groups, output_groups;
    float layer_norm_eps, block_layer_norm_eps;
};

/* From the metadata of the file; every size is checked. */
struct config config_read(const struct safetensors *file);
