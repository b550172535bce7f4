/* Eight numbers that are computed at once: two registers of NEON or SSE.

   Activations are kept as panels of eight tokens, each a row of C vectors, one vector a channel: (T/8, C, 8).
   Weights are kept as panels of eight outputs: (out/8, in, 8). A product of two panels is again such a panel, so that
   nothing is packed between layers, and norms and activations work on eight tokens without a sum across lanes. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { LANES = 8 };

typedef float lanes __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t int_lanes __attribute__((vector_size(4 * LANES), may_alias));

static inline size_t panels(size_t count) {
    return (count + LANES - 1) / LANES;
}

static inline size_t least(size_t left, size_t right) {
    return left < right ? left : right;
}

static inline lanes lanes_of(float value) {
    return value - (lanes){0};
}

static inline lanes choose(int_lanes mask, lanes yes, lanes no) {
    return (lanes)(((int_lanes)yes & mask) | ((int_lanes)no & ~mask));
}

/* Where one is no number, the answer is `right`. */
static inline lanes larger(lanes left, lanes right) {
    return choose(left > right, left, right);
}

static inline lanes smaller(lanes left, lanes right) {
    return choose(left < right, left, right);
}

/* The coefficients, highest power first, are minimax fits of our own. */
static inline lanes polynomial(lanes x, const float *coefficients, size_t count) {
    lanes value = lanes_of(coefficients[0]);
    for (size_t i = 1; i < count; i++)
        value = value * x + coefficients[i];
    return value;
}

/* 2^x for x <= 0 to a relative 1e-7; below 2^-126 it stays there. */
static inline lanes exp2_lanes(lanes x) {
    static const float series[] = {1.534581214e-4f, 1.339993135e-3f, 9.618488958e-3f, 5.550328777e-2f,
                                   2.402264689e-1f, 6.931472057e-1f, 1.0f};
    const float to_whole = 0x1.8p23f; /* a float of this size has no bits after the point */
    x = larger(lanes_of(-126), x);
    lanes shifted = x + to_whole;
    lanes rest = x - (shifted - to_whole);
    int_lanes power = ((int_lanes)shifted + 127) << 23; /* the low bits of `shifted` are the whole number */
    return polynomial(rest, series, sizeof series / sizeof *series) * (lanes)power;
}

/* GELU, x * Phi(x), from max(x, 0) - |x| * Phi(-|x|): the polynomial is log2(Phi(-|x|)); absolute error 2.4e-7. */
static inline lanes gelu(lanes x) {
    static const float series[] = {-3.239616555e-7f, 5.028188287e-6f,  3.865123535e-6f,
                                   -6.846314132e-4f, 7.947380839e-3f,  -5.329622014e-2f,
                                   -4.588239348e-1f, -1.151190544f,    -0.9999938283f};
    lanes size = smaller(larger(x, -x), lanes_of(6)); /* what lies beyond adds under 1e-8 */
    lanes tail = exp2_lanes(polynomial(size, series, sizeof series / sizeof *series));
    return larger(lanes_of(0), x) - size * tail;
}
