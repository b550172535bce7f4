#include "json.h"

#include <string.h>

#include "fail.h"

static _Noreturn void broken(const struct json *json, const char *what) {
    fail(json->file, "the header is broken (%s)", what);
}

/* The bytes of the character at `text`, 0 if it is none. */
static size_t utf8_length(const unsigned char *text, size_t size) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (text[0] < 0x80)
        return 1;
    size_t length = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
    if (text[0] < 0xC2 || text[0] > 0xF4 || length > size)
        return 0;
    uint32_t code = text[0] & (0x7F >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3F);
    }
    return code < smallest[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000) ? 0 : length;
}

void json_check_utf8(const char *text, size_t size, const char *file) {
    for (size_t at = 0, length; at < size; at += length)
        if (!text[at] || !(length = utf8_length((const unsigned char *)text + at, size - at)))
            fail(file, "the header is no UTF-8 text");
}

bool json_accept(struct json *json, char character) {
    json->at += strspn(json->at, " \t\n\r");
    if (*json->at != character)
        return false;
    json->at++;
    return true;
}

void json_expect(struct json *json, char character) {
    char what[] = "no `?`";
    what[4] = character;
    if (!json_accept(json, character))
        broken(json, what);
}

static uint32_t four_digits(struct json *json) {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++, json->at++) {
        const char *digits = "0123456789abcdef", *found = *json->at ? strchr(digits, *json->at | ' ') : NULL;
        if (!found || (*json->at < '0'))
            broken(json, "an escape");
        code = code << 4 | (uint32_t)(found - digits);
    }
    return code;
}

static uint32_t escaped_code(struct json *json) {
    uint32_t code = four_digits(json);
    if (code >= 0xD800 && code < 0xDC00 && json->at[0] == '\\' && json->at[1] == 'u') {
        json->at += 2;
        uint32_t low = four_digits(json);
        if (low < 0xDC00 || low > 0xDFFF)
            broken(json, "half a character");
        return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (!code || (code >= 0xD800 && code < 0xE000))
        broken(json, "half a character");
    return code;
}

static char *write_utf8(char *out, uint32_t code) {
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t first[] = {0, 0xC0, 0xE0, 0xF0};
    *out++ = (char)(first[more] | code >> (6 * more));
    while (more--)
        *out++ = (char)(0x80 | (code >> (6 * more) & 0x3F));
    return out;
}

static char *write_escape(struct json *json, char *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    char name = *json->at++;
    if (name == 'u')
        return write_utf8(out, escaped_code(json));
    const char *found = name ? strchr(names, name) : NULL;
    if (!found)
        broken(json, "an escape");
    *out = values[found - names];
    return out + 1;
}

/* An escape is never shorter than what it stands for: the decoded string fits in its own place. */
char *json_string(struct json *json) {
    json_expect(json, '"');
    char *start = json->at, *out = start;
    while (*json->at != '"') {
        if ((unsigned char)*json->at < ' ')
            broken(json, "a string without end");
        if (*json->at == '\\') {
            json->at++;
            out = write_escape(json, out);
        } else {
            *out++ = *json->at++;
        }
    }
    json->at++;
    *out = 0;
    return start;
}

uint64_t json_whole_number(struct json *json) {
    json->at += strspn(json->at, " \t\n\r");
    size_t digits = strspn(json->at, "0123456789");
    uint64_t value = 0;
    if (!digits || (digits > 1 && *json->at == '0'))
        broken(json, "no whole number");
    for (; digits; digits--, json->at++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*json->at - '0'), &value))
            broken(json, "a number that is too large");
    return value;
}

void json_end(struct json *json) {
    json->at += strspn(json->at, " \t\n\r");
    if (*json->at)
        broken(json, "text after its end");
}
