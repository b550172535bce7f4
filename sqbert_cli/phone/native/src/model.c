#include "model.h"

#include <stdio.h>

#include "attention.h"
#include "fail.h"

enum { CONV1D = 3, DENSE = 2, LONGEST_NAME = 128 }; /* how many dimensions a weight has on disk */

static const float *read_embedding(const struct safetensors *file, const char *kind, size_t count, size_t size) {
    char name[LONGEST_NAME];
    snprintf(name, sizeof name, "transformer.embeddings.%s_embeddings.weight", kind);
    return safetensors_tensor(file, name, 2, (uint64_t[]){count, size});
}

static struct linear read_conv1d(const struct safetensors *file, size_t layer, const char *part, size_t in_size,
                                 size_t out_size, size_t groups) {
    char name[LONGEST_NAME];
    snprintf(name, sizeof name, "transformer.encoder.layers.%zu.%s", layer, part);
    return linear_read(file, name, CONV1D, in_size, out_size, groups);
}

static struct norm read_block_norm(const struct safetensors *file, size_t layer, const char *part,
                                   const struct config *config) {
    char name[LONGEST_NAME];
    snprintf(name, sizeof name, "transformer.encoder.layers.%zu.%s.layernorm", layer, part);
    return norm_read(file, name, config->hidden_size, config->block_layer_norm_eps);
}

static struct layer read_layer(const struct safetensors *file, size_t layer, const struct config *config) {
    size_t hidden = config->hidden_size, intermediate = config->intermediate_size;
    return (struct layer){
        .query = read_conv1d(file, layer, "attention.query", hidden, hidden, config->q_groups),
        .key = read_conv1d(file, layer, "attention.key", hidden, hidden, config->k_groups),
        .value = read_conv1d(file, layer, "attention.value", hidden, hidden, config->v_groups),
        .post_attention =
            read_conv1d(file, layer, "post_attention.conv1d", hidden, hidden, config->post_attention_groups),
        .intermediate =
            read_conv1d(file, layer, "intermediate.conv1d", hidden, intermediate, config->intermediate_groups),
        .output = read_conv1d(file, layer, "output.conv1d", intermediate, hidden, config->output_groups),
        .post_attention_norm = read_block_norm(file, layer, "post_attention", config),
        .output_norm = read_block_norm(file, layer, "output", config),
    };
}

static struct workspace make_workspace(const struct config *config, size_t length) {
    size_t hidden = panels(length) * config->hidden_size, heads = config->num_attention_heads;
    return (struct workspace){
        .hidden = allocate(hidden, sizeof(lanes)),
        .query = allocate(hidden, sizeof(lanes)),
        .key = allocate(hidden, sizeof(lanes)),
        .value = allocate(hidden, sizeof(lanes)),
        .context = allocate(hidden, sizeof(lanes)),
        .change = allocate(hidden, sizeof(lanes)),
        .intermediate = allocate(panels(length) * config->intermediate_size, sizeof(lanes)),
        .attention = allocate(heads * attention_room(length, config->hidden_size / heads), sizeof(lanes)),
        .logits = allocate(config->num_labels, sizeof(lanes)),
    };
}

struct model model_load(const char *path, size_t length) {
    struct safetensors file = safetensors_open(path);
    struct config config = config_read(&file);
    size_t size = config.hidden_size;
    if (length > config.max_position_embeddings)
        fail(path, "rows of %zu tokens, but the model has %zu positions", length, config.max_position_embeddings);
    struct model model = {
        .path = path,
        .config = config,
        .word_embeddings = read_embedding(&file, "word", config.vocab_size, size),
        .position_embeddings = read_embedding(&file, "position", config.max_position_embeddings, size),
        .token_type_embeddings = read_embedding(&file, "token_type", config.type_vocab_size, size),
        .embeddings_norm = norm_read(&file, "transformer.embeddings.LayerNorm", size, config.layer_norm_eps),
        .layers = allocate(config.num_hidden_layers, sizeof(struct layer)),
        .pooler = linear_read(&file, "pooler.dense", DENSE, size, size, 1),
        .classifier = linear_read(&file, "classifier", DENSE, size, config.num_labels, 1),
    };
    for (size_t layer = 0; layer < config.num_hidden_layers; layer++)
        model.layers[layer] = read_layer(&file, layer, &config);
    model.workspace = make_workspace(&config, length);
    return model;
}
