/* A scanner of JSON that is held to the letter, for what stands at the start of a safetensors file. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    char *at;         /* the text, ended by 0; strings are decoded where they stand */
    const char *file; /* for messages */
};

void json_check_utf8(const char *text, size_t size, const char *file);
void json_expect(struct json *json, char character);
bool json_accept(struct json *json, char character);
char *json_string(struct json *json);
uint64_t json_whole_number(struct json *json);
void json_end(struct json *json);
