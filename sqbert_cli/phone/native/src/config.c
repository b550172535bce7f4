#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "fail.h"

static const char *read_text(const struct safetensors *file, const char *key) {
    const char *value = safetensors_metadata(file, key);
    if (!value)
        fail(file->path, "the metadata lacks `%s`", key);
    return value;
}

static size_t read_size(const struct safetensors *file, const char *key, size_t limit) {
    const char *text = read_text(file, key);
    size_t digits = strspn(text, "0123456789");
    unsigned long long value = digits && digits < 10 && !text[digits] ? strtoull(text, NULL, 10) : 0;
    if (!value || value > limit)
        fail(file->path, "`%s` is `%s`, expected a whole number from 1 to %zu", key, text, limit);
    return value;
}

static float read_fraction(const struct safetensors *file, const char *key) {
    const char *text = read_text(file, key);
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value < 1))
        fail(file->path, "`%s` is `%s`, expected a number from 0 to 1", key, text);
    return (float)value;
}

static size_t read_groups(const struct safetensors *file, const char *key, size_t in_size, size_t out_size) {
    size_t groups = read_size(file, key, in_size);
    if (in_size % groups || out_size % groups)
        fail(file->path, "`%s` %zu does not divide the widths %zu and %zu", key, groups, in_size, out_size);
    return groups;
}

static void read_all_groups(const struct safetensors *file, struct config *config) {
    size_t hidden = config->hidden_size, intermediate = config->intermediate_size;
    config->q_groups = read_groups(file, "q_groups", hidden, hidden);
    config->k_groups = read_groups(file, "k_groups", hidden, hidden);
    config->v_groups = read_groups(file, "v_groups", hidden, hidden);
    config->post_attention_groups = read_groups(file, "post_attention_groups", hidden, hidden);
    config->intermediate_groups = read_groups(file, "intermediate_groups", hidden, intermediate);
    config->output_groups = read_groups(file, "output_groups", intermediate, hidden);
}

/* The limits are those of our Python side: far above any published encoder. */
struct config config_read(const struct safetensors *file) {
    struct config config = {
        .name = read_text(file, "name"),
        .model_type = read_text(file, "model_type"),
        .vocab_size = read_size(file, "vocab_size", 2000000),
        .hidden_size = read_size(file, "hidden_size", 16384),
        .num_hidden_layers = read_size(file, "num_hidden_layers", 200),
        .num_attention_heads = read_size(file, "num_attention_heads", 512),
        .intermediate_size = read_size(file, "intermediate_size", 131072),
        .max_position_embeddings = read_size(file, "max_position_embeddings", 1000000),
        .type_vocab_size = read_size(file, "type_vocab_size", 1000),
        .num_labels = read_size(file, "num_labels", 100000),
        .layer_norm_eps = read_fraction(file, "layer_norm_eps"),
        .block_layer_norm_eps = read_fraction(file, "block_layer_norm_eps"),
    };
    if (strcmp(config.model_type, "squeezebert") && strcmp(config.model_type, "bert"))
        fail(file->path, "model type `%s` is not supported", config.model_type);
    if (config.hidden_size % config.num_attention_heads)
        fail(file->path, "%zu attention heads do not divide width %zu", config.num_attention_heads, config.hidden_size);
    read_all_groups(file, &config);
    return config;
}
