#include "linear.h"

#include <stdio.h>

#include "fail.h"
#include "tile.h"

/* Per item: 128 tokens by 32 outputs, 256 inputs at a time. The tokens' part, 128 KiB, stays in the second cache while
   the weights, 8 KiB a panel in the first, go by. */
enum { TOKEN_PANELS = 16, OUT_PANELS = 4, DEPTH = 256, LONGEST_NAME = 160 };

static size_t parts(size_t count, size_t size) {
    return (count + size - 1) / size;
}

static void pack_group(const struct linear *linear, const float *values, lanes *weight) {
    for (size_t out = 0; out < linear->out_size; out++)
        for (size_t in = 0; in < linear->in_size; in++)
            weight[out / LANES * linear->in_size + in][out % LANES] = values[out * linear->in_size + in];
}

struct linear linear_read(const struct safetensors *file, const char *name, size_t num_dimensions, size_t in_size,
                          size_t out_size, size_t groups) {
    struct linear linear = {groups, in_size / groups, out_size / groups, NULL, NULL};
    char path[LONGEST_NAME];
    snprintf(path, sizeof path, "%s.bias", name);
    linear.bias = safetensors_tensor(file, path, 1, (uint64_t[]){out_size});
    snprintf(path, sizeof path, "%s.weight", name);
    const float *values =
        safetensors_tensor(file, path, num_dimensions, (uint64_t[]){out_size, linear.in_size, 1});
    size_t packed_size = panels(linear.out_size) * linear.in_size;
    linear.weight = allocate(groups * packed_size, sizeof(lanes));
    for (size_t group = 0; group < groups; group++)
        pack_group(&linear, values + group * linear.out_size * linear.in_size, linear.weight + group * packed_size);
    safetensors_release(values, out_size * linear.in_size);
    return linear;
}

struct product {
    const struct linear *linear;
    const lanes *in;
    lanes *out;
    size_t token_panels;
    bool then_gelu;
};

/* What one item computes: some panels of tokens by some panels of one group's outputs. */
struct block {
    const lanes *in, *weight;
    lanes *out;
    const float *bias;
    size_t token_panels, outputs, in_stride, out_stride;
};

static struct block find_block(const struct product *product, size_t item) {
    const struct linear *linear = product->linear;
    size_t chunks = parts(panels(linear->out_size), OUT_PANELS);
    size_t chunk = item % chunks, group = item / chunks % linear->groups, first = item / chunks / linear->groups;
    size_t in_stride = linear->groups * linear->in_size, out_stride = linear->groups * linear->out_size;
    size_t output = chunk * OUT_PANELS * LANES, panel = group * panels(linear->out_size) + chunk * OUT_PANELS;
    first *= TOKEN_PANELS;
    return (struct block){
        .in = product->in + first * in_stride + group * linear->in_size,
        .weight = linear->weight + panel * linear->in_size,
        .out = product->out + first * out_stride + group * linear->out_size + output,
        .bias = linear->bias + group * linear->out_size + output,
        .token_panels = least(TOKEN_PANELS, product->token_panels - first),
        .outputs = least(OUT_PANELS * LANES, linear->out_size - output),
        .in_stride = in_stride,
        .out_stride = out_stride,
    };
}

static void add_products(const struct block *block, size_t in_size, size_t start, size_t depth) {
    for (size_t output = 0; output < block->outputs; output += LANES) {
        const lanes *weight = block->weight + output / LANES * in_size + start;
        for (size_t tokens = 0; tokens < block->token_panels; tokens++)
            multiply_tile(block->in + tokens * block->in_stride + start, weight, depth,
                          block->out + tokens * block->out_stride + output, least(LANES, block->outputs - output));
    }
}

static void apply_gelu(const struct block *block) {
    for (size_t tokens = 0; tokens < block->token_panels; tokens++)
        for (size_t output = 0; output < block->outputs; output++)
            block->out[tokens * block->out_stride + output] = gelu(block->out[tokens * block->out_stride + output]);
}

static void compute_block(const void *job, size_t item) {
    const struct product *product = job;
    struct block block = find_block(product, item);
    size_t in_size = product->linear->in_size;
    for (size_t tokens = 0; tokens < block.token_panels; tokens++)
        for (size_t output = 0; output < block.outputs; output++)
            block.out[tokens * block.out_stride + output] = lanes_of(block.bias[output]);
    for (size_t start = 0; start < in_size; start += DEPTH)
        add_products(&block, in_size, start, least(DEPTH, in_size - start));
    if (product->then_gelu)
        apply_gelu(&block);
}

void linear_forward(struct pool *pool, const struct linear *linear, const lanes *in, lanes *out, size_t token_panels,
                    bool then_gelu) {
    struct product product = {linear, in, out, token_panels, then_gelu};
    size_t chunks = parts(panels(linear->out_size), OUT_PANELS);
    pool_run(pool, compute_block, &product, parts(token_panels, TOKEN_PANELS) * linear->groups * chunks);
}
