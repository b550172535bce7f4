#include "encoder.h"

#include <math.h>

#include "attention.h"

struct embedding {
    const struct model *model;
    const struct row *row;
};

static void embed_panel(const void *job, size_t panel) {
    const struct embedding *embedding = job;
    const struct model *model = embedding->model;
    const struct row *row = embedding->row;
    size_t size = model->config.hidden_size, first = panel * LANES;
    lanes *hidden = model->workspace.hidden + panel * size;
    for (size_t lane = 0; lane < LANES; lane++) {
        size_t token = least(first + lane, row->length - 1); /* lanes past the end: any token, nobody looks */
        const float *word = model->word_embeddings + row->ids[token] * size;
        const float *position = model->position_embeddings + token * size;
        for (size_t channel = 0; channel < size; channel++)
            hidden[channel][lane] = word[channel] + position[channel] + model->token_type_embeddings[channel];
    }
    norm_panel(&model->embeddings_norm, hidden);
}

static void attend(struct pool *pool, const struct model *model, const struct layer *layer, const struct row *row) {
    const struct workspace *room = &model->workspace;
    size_t token_panels = panels(row->length), num_heads = model->config.num_attention_heads;
    linear_forward(pool, &layer->query, room->hidden, room->query, token_panels, false);
    linear_forward(pool, &layer->key, room->hidden, room->key, token_panels, false);
    linear_forward(pool, &layer->value, room->hidden, room->value, token_panels, false);
    struct attention attention = {
        .num_heads = num_heads,
        .head_size = model->config.hidden_size / num_heads,
        .length = row->length,
        .num_real = row->num_real,
        .query = room->query,
        .key = room->key,
        .value = room->value,
        .context = room->context,
        .room = room->attention,
    };
    attention_forward(pool, &attention);
}

static void run_layer(struct pool *pool, const struct model *model, const struct layer *layer, const struct row *row) {
    const struct workspace *room = &model->workspace;
    size_t token_panels = panels(row->length);
    attend(pool, model, layer, row);
    linear_forward(pool, &layer->post_attention, room->context, room->change, token_panels, false);
    norm_residual(pool, &layer->post_attention_norm, room->hidden, room->change, token_panels);
    linear_forward(pool, &layer->intermediate, room->hidden, room->intermediate, token_panels, true);
    linear_forward(pool, &layer->output, room->intermediate, room->change, token_panels, false);
    norm_residual(pool, &layer->output_norm, room->hidden, room->change, token_panels);
}

/* The head looks at the first token only, which lies in the first panel. */
static void run_head(struct pool *pool, const struct model *model, float *logits) {
    const struct workspace *room = &model->workspace;
    linear_forward(pool, &model->pooler, room->hidden, room->change, 1, false);
    for (size_t channel = 0; channel < model->config.hidden_size; channel++)
        room->change[channel] = lanes_of(tanhf(room->change[channel][0]));
    linear_forward(pool, &model->classifier, room->change, room->logits, 1, false);
    for (size_t label = 0; label < model->config.num_labels; label++)
        logits[label] = room->logits[label][0];
}

void encoder_forward(struct pool *pool, const struct model *model, const struct row *row, float *logits) {
    struct embedding embedding = {model, row};
    pool_run(pool, embed_panel, &embedding, panels(row->length));
    for (size_t layer = 0; layer < model->config.num_hidden_layers; layer++)
        run_layer(pool, model, &model->layers[layer], row);
    run_head(pool, model, logits);
}
