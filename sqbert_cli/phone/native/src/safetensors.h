/* The tensors of a safetensors file, mapped into memory. Float32 only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { MOST_DIMENSIONS = 4 };

struct tensor {
    const char *name;
    size_t num_dimensions;
    uint64_t shape[MOST_DIMENSIONS];
    uint64_t begin, end; /* bytes of the data */
};

struct entry {
    const char *key, *value;
};

struct safetensors {
    const char *path;
    const char *data;
    uint64_t data_size;
    struct tensor *tensors; /* by name */
    size_t num_tensors;
    struct entry *metadata;
    size_t num_metadata;
};

struct safetensors safetensors_open(const char *path);

/* The values of a tensor, once its shape is that expected. */
const float *safetensors_tensor(const struct safetensors *file, const char *name, size_t num_dimensions,
                                const uint64_t *shape);
/* NULL where the key is missing. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Give back the memory of values that are no longer needed; the file still holds them. */
void safetensors_release(const float *values, size_t count);
