// JSON: n documents of about 4 KiB are written from random data, parsed into a tree in an arena, and written again; answers a
// checksum of what is written, 0 for a document that changed on the way. Bytes, branches, recursion, numbers as text.
#include "kernel.h"
#include <string.h>

enum kind { NIL, TRUE, FALSE, NUMBER, STRING, ARRAY, OBJECT };

// An element of an array or object stands in a list; of an object, with its key.
struct value {
    enum kind kind;
    uint32_t length;
    const char *text, *key;
    uint32_t key_length;
    int64_t number;
    struct value *first, *next;
};

static char written[1 << 16], again[1 << 16], *out;
static struct value arena[8192];
static int allocated;
static const char *in;

static void put_text(const char *text, uint32_t length) {
    *out++ = '"';
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') *out++ = '\\';
        *out++ = text[i];
    }
    *out++ = '"';
}

static void put_number(int64_t number) {
    char digits[24];
    int count = 0;
    if (number < 0) *out++ = '-';
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (count) *out++ = digits[--count];
}

static void put_word(const char *word) {
    while (*word) *out++ = *word++;
}

static void random_value(int depth) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz \"\\0123456789";
    char text[24];
    uint32_t kind = depth ? random_below(10) : random_below(6), count;
    switch (kind) {
    case 0: put_word("null"); break;
    case 1: put_word(random_below(2) ? "true" : "false"); break;
    case 2:
    case 3: put_number((int64_t)(int32_t)random_u32() * (int64_t)random_below(100000)); break;
    case 4:
    case 5:
        count = random_below(sizeof text);
        for (uint32_t i = 0; i < count; i++) text[i] = letters[random_below(sizeof letters - 1)];
        put_text(text, count);
        break;
    default:
        *out++ = kind < 8 ? '[' : '{';
        count = random_below(8);
        for (uint32_t i = 0; i < count; i++) {
            if (i) *out++ = ',';
            if (kind >= 8) {
                text[0] = (char)('a' + i);
                text[1] = letters[random_below(26)];
                put_text(text, 2);
                *out++ = ':';
            }
            random_value(depth - 1);
        }
        *out++ = kind < 8 ? ']' : '}';
    }
}

static void skip_space(void) {
    while (*in == ' ' || *in == '\n' || *in == '\t') in++;
}

// Text up to the closing quote; escapes are only skipped here and resolved when it is written.
static const char *parse_text(uint32_t *length) {
    const char *start = ++in;
    for (; *in != '"'; in++)
        if (*in == '\\') in++;
    *length = (uint32_t)(in++ - start);
    return start;
}

static struct value *parse(void) {
    struct value *value = &arena[allocated++];
    memset(value, 0, sizeof *value);
    skip_space();
    char c = *in;
    if (c == '"') {
        value->kind = STRING;
        value->text = parse_text(&value->length);
    } else if (c == '[' || c == '{') {
        char close = c == '[' ? ']' : '}';
        value->kind = c == '[' ? ARRAY : OBJECT;
        struct value **link = &value->first;
        in++;
        for (skip_space(); *in != close; skip_space()) {
            if (*in == ',') in++;
            const char *key = 0;
            uint32_t key_length = 0;
            if (close == '}') {
                skip_space();
                key = parse_text(&key_length);
                skip_space();
                in++;
            }
            struct value *element = parse();
            element->key = key;
            element->key_length = key_length;
            *link = element;
            link = &element->next;
        }
        in++;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        value->kind = NUMBER;
        int negative = c == '-';
        uint64_t number = 0;
        for (in += negative; *in >= '0' && *in <= '9'; in++) number = number * 10 + (uint64_t)(*in - '0');
        value->number = (int64_t)(negative ? -number : number);
    } else {
        value->kind = c == 'n' ? NIL : c == 't' ? TRUE : FALSE;
        in += c == 'f' ? 5 : 4;
    }
    return value;
}

static void put_raw(const char *text, uint32_t length) {
    char unescaped[64];
    uint32_t count = 0;
    for (uint32_t i = 0; i < length; i++) {
        if (text[i] == '\\') i++;
        unescaped[count++] = text[i];
    }
    put_text(unescaped, count);
}

static void put_value(const struct value *value) {
    switch (value->kind) {
    case NIL: put_word("null"); break;
    case TRUE: put_word("true"); break;
    case FALSE: put_word("false"); break;
    case NUMBER: put_number(value->number); break;
    case STRING: put_raw(value->text, value->length); break;
    default:
        *out++ = value->kind == ARRAY ? '[' : '{';
        for (const struct value *element = value->first; element; element = element->next) {
            if (element != value->first) *out++ = ',';
            if (value->kind == OBJECT) {
                put_raw(element->key, element->key_length);
                *out++ = ':';
            }
            put_value(element);
        }
        *out++ = value->kind == ARRAY ? ']' : '}';
    }
}

RUN int64_t run(int32_t n) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        out = written;
        *out++ = '[';
        while (out - written < 4096) {
            if (out - written > 1) *out++ = ',';
            random_value(4);
        }
        *out++ = ']';
        uint32_t length = (uint32_t)(out - written);
        *out = 0;
        in = written;
        allocated = 0;
        const struct value *value = parse();
        out = again;
        put_value(value);
        int same = out - again == length && !memcmp(written, again, length);
        for (uint32_t k = 0; k < length; k += 16) sum = mix(sum, same ? (uint64_t)again[k] : 0);
    }
    return (int64_t)sum;
}
