#include "safetensors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "json.h"

enum { MOST_HEADER_BYTES = 16 << 20 };

static struct tensor *add_tensor(struct safetensors *file) {
    size_t count = file->num_tensors++;
    file->tensors = grow(file->tensors, count, sizeof *file->tensors);
    return memset(&file->tensors[count], 0, sizeof *file->tensors);
}

static void read_metadata(struct safetensors *file, struct json *json) {
    json_expect(json, '{');
    if (file->num_metadata)
        fail(file->path, "the header holds `__metadata__` twice");
    if (json_accept(json, '}'))
        return;
    do {
        file->metadata = grow(file->metadata, file->num_metadata, sizeof *file->metadata);
        char *key = json_string(json);
        json_expect(json, ':');
        file->metadata[file->num_metadata++] = (struct entry){key, json_string(json)};
    } while (json_accept(json, ','));
    json_expect(json, '}');
}

static void read_shape(struct safetensors *file, struct json *json, struct tensor *tensor) {
    json_expect(json, '[');
    if (json_accept(json, ']'))
        return;
    do {
        if (tensor->num_dimensions == MOST_DIMENSIONS)
            fail(file->path, "tensor %s has over %d dimensions", tensor->name, MOST_DIMENSIONS);
        tensor->shape[tensor->num_dimensions++] = json_whole_number(json);
    } while (json_accept(json, ','));
    json_expect(json, ']');
}

static void read_offsets(struct json *json, struct tensor *tensor) {
    json_expect(json, '[');
    tensor->begin = json_whole_number(json);
    json_expect(json, ',');
    tensor->end = json_whole_number(json);
    json_expect(json, ']');
}

static void read_field(struct safetensors *file, struct json *json, struct tensor *tensor, unsigned *seen) {
    static const char *const names[] = {"dtype", "shape", "data_offsets"};
    const char *field = json_string(json);
    unsigned which = 0;
    while (which < 3 && strcmp(field, names[which]))
        which++;
    if (which == 3 || *seen & 1u << which)
        fail(file->path, "tensor %s is described by `%s`, unknown or twice", tensor->name, field);
    *seen |= 1u << which;
    json_expect(json, ':');
    if (which == 1)
        read_shape(file, json, tensor);
    else if (which == 2)
        read_offsets(json, tensor);
    else if (strcmp(json_string(json), "F32"))
        fail(file->path, "tensor %s is not of dtype F32", tensor->name);
}

static void check_bytes(const struct safetensors *file, const struct tensor *tensor) {
    uint64_t bytes = sizeof(float);
    for (size_t i = 0; i < tensor->num_dimensions; i++)
        if (__builtin_mul_overflow(bytes, tensor->shape[i], &bytes))
            fail(file->path, "tensor %s is absurdly large", tensor->name);
    if (tensor->begin > tensor->end || tensor->end > file->data_size)
        fail(file->path, "tensor %s lies outside of the file", tensor->name);
    if (tensor->end - tensor->begin != bytes || tensor->begin % sizeof(float))
        fail(file->path, "tensor %s does not fill its place in the file", tensor->name);
}

static void read_tensor(struct safetensors *file, struct json *json, const char *name) {
    struct tensor *tensor = add_tensor(file);
    unsigned seen = 0;
    tensor->name = name;
    json_expect(json, '{');
    do
        read_field(file, json, tensor, &seen);
    while (json_accept(json, ','));
    json_expect(json, '}');
    if (seen != 7)
        fail(file->path, "tensor %s lacks its dtype, shape or place", name);
    check_bytes(file, tensor);
}

static int by_name(const void *left, const void *right) {
    return strcmp(((const struct tensor *)left)->name, ((const struct tensor *)right)->name);
}

static void read_header(struct safetensors *file, char *header) {
    struct json json = {header, file->path};
    uint64_t end = 0;
    json_expect(&json, '{');
    do {
        const char *name = json_string(&json);
        json_expect(&json, ':');
        if (!strcmp(name, "__metadata__"))
            read_metadata(file, &json);
        else
            read_tensor(file, &json, name);
    } while (json_accept(&json, ','));
    json_expect(&json, '}');
    json_end(&json);
    if (!file->num_tensors)
        fail(file->path, "the file holds no tensors");
    qsort(file->tensors, file->num_tensors, sizeof *file->tensors, by_name);
    for (size_t i = 0; i < file->num_tensors; i++) {
        if (i && !by_name(&file->tensors[i - 1], &file->tensors[i]))
            fail(file->path, "tensor %s stands there twice", file->tensors[i].name);
        if (file->tensors[i].end > end)
            end = file->tensors[i].end;
    }
    if (end != file->data_size)
        fail(file->path, "the file is longer than its tensors");
}

static const char *map_file(const char *path, uint64_t *size) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (descriptor < 0 || fstat(descriptor, &about) || !S_ISREG(about.st_mode))
        fail(path, "cannot open the model");
    *size = (uint64_t)about.st_size;
    if (*size < 8)
        fail(path, "the file is too short");
    void *start = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (start == MAP_FAILED)
        fail(path, "cannot map the model into memory");
    return start;
}

struct safetensors safetensors_open(const char *path) {
    struct safetensors file = {.path = path};
    uint64_t size, header_size = 0;
    const char *start = map_file(path, &size);
    for (int i = 7; i >= 0; i--)
        header_size = header_size << 8 | (unsigned char)start[i];
    if (header_size < 2 || header_size > MOST_HEADER_BYTES || header_size > size - 8 || header_size % sizeof(float))
        fail(path, "the header cannot be %llu bytes long", (unsigned long long)header_size);
    json_check_utf8(start + 8, header_size, path);
    char *header = allocate(header_size + 1, 1); /* names and metadata point into it */
    memcpy(header, start + 8, header_size);
    file.data = start + 8 + header_size;
    file.data_size = size - 8 - header_size;
    read_header(&file, header);
    return file;
}

const float *safetensors_tensor(const struct safetensors *file, const char *name, size_t num_dimensions,
                                const uint64_t *shape) {
    struct tensor wanted = {.name = name};
    struct tensor *found = bsearch(&wanted, file->tensors, file->num_tensors, sizeof wanted, by_name);
    if (!found)
        fail(file->path, "tensor %s is missing", name);
    if (found->num_dimensions != num_dimensions || memcmp(found->shape, shape, num_dimensions * sizeof *shape))
        fail(file->path, "tensor %s has not the shape that its config asks for", name);
    return (const float *)(file->data + found->begin);
}

const char *safetensors_metadata(const struct safetensors *file, const char *key) {
    for (size_t i = 0; i < file->num_metadata; i++)
        if (!strcmp(file->metadata[i].key, key))
            return file->metadata[i].value;
    return NULL;
}

void safetensors_release(const float *values, size_t count) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = ((uintptr_t)values + page - 1) / page * page, end = (uintptr_t)(values + count) / page * page;
    if (start < end)
        madvise((void *)start, end - start, MADV_DONTNEED);
}
