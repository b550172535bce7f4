#include "attention.h"

#include <math.h>
#include <string.h>

#include "tile.h"

/* The scores of eight queries, (T, 8), and the values of a head, (D/8, T, 8). */
size_t attention_room(size_t length, size_t head_size) {
    return panels(length) * LANES + panels(head_size) * length;
}

/* Keys are laid out for the product as they come; values have to change rows with columns. */
static void transpose_values(const struct attention *attention, const lanes *from, lanes *values) {
    size_t stride = attention->num_heads * attention->head_size, length = attention->length;
    for (size_t channel = 0; channel < attention->head_size; channel++)
        for (size_t token = 0; token < length; token++)
            values[channel / LANES * length + token][channel % LANES] =
                from[token / LANES * stride + channel][token % LANES];
}

/* Over the keys, for eight queries at once. Padding gets no share at all, as exp(the lowest float) does not. */
static void softmax(const struct attention *attention, lanes *scores) {
    const float scale = (float)(1 / log(2) / sqrt((double)attention->head_size));
    lanes highest = scores[0], sum = {0};
    for (size_t key = 1; key < attention->num_real; key++)
        highest = larger(highest, scores[key]);
    for (size_t key = 0; key < attention->num_real; key++) {
        scores[key] = exp2_lanes((scores[key] - highest) * scale);
        sum += scores[key];
    }
    lanes share = 1 / sum;
    for (size_t key = 0; key < attention->num_real; key++)
        scores[key] *= share;
    memset(scores + attention->num_real, 0, (attention->length - attention->num_real) * sizeof *scores);
}

static void attend(const struct attention *attention, const lanes *query, const lanes *key, const lanes *values,
                   lanes *scores, lanes *context) {
    size_t stride = attention->num_heads * attention->head_size, size = attention->head_size;
    memset(scores, 0, panels(attention->length) * LANES * sizeof *scores);
    for (size_t panel = 0; panel < panels(attention->length); panel++)
        multiply_tile(query, key + panel * stride, size, scores + panel * LANES, LANES);
    softmax(attention, scores);
    memset(context, 0, size * sizeof *context);
    for (size_t channel = 0; channel < size; channel += LANES)
        multiply_tile(scores, values + channel / LANES * attention->length, attention->length, context + channel,
                      least(LANES, size - channel));
}

static void attend_head(const void *job, size_t head) {
    const struct attention *attention = job;
    size_t stride = attention->num_heads * attention->head_size, first = head * attention->head_size;
    lanes *scores = attention->room + head * attention_room(attention->length, attention->head_size);
    lanes *values = scores + panels(attention->length) * LANES;
    transpose_values(attention, attention->value + first, values);
    for (size_t panel = 0; panel < panels(attention->length); panel++)
        attend(attention, attention->query + panel * stride + first, attention->key + first, values, scores,
               attention->context + panel * stride + first);
}

void attention_forward(struct pool *pool, const struct attention *attention) {
    pool_run(pool, attend_head, attention, attention->num_heads);
}
