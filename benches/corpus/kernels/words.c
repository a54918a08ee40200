// Counting words: n words of a skewed vocabulary, made letter by letter, are hashed and counted in a table with open addressing that
// doubles when it is full; at the end the table is sorted by count. Hashing, string compares, growth by realloc, qsort with a callback.
#include "kernel.h"
#include <stdlib.h>
#include <string.h>

struct entry {
    char word[16];
    uint32_t hash, count;
};

static struct entry *table;
static uint32_t capacity, used;

static uint32_t hash_of(const char *word) {
    uint32_t hash = 2166136261u;
    while (*word) hash = (hash ^ (uint8_t)*word++) * 16777619u;
    return hash | 1;
}

static struct entry *find(struct entry *in, uint32_t size, const char *word, uint32_t hash) {
    uint32_t at = hash & (size - 1);
    while (in[at].hash && (in[at].hash != hash || strcmp(in[at].word, word))) at = (at + 1) & (size - 1);
    return &in[at];
}

static void enlarge(void) {
    struct entry *larger = calloc(capacity * 2, sizeof *larger);
    for (uint32_t i = 0; i < capacity; i++)
        if (table[i].hash) *find(larger, capacity * 2, table[i].word, table[i].hash) = table[i];
    free(table);
    table = larger;
    capacity *= 2;
}

static void count_word(const char *word) {
    uint32_t hash = hash_of(word);
    struct entry *entry = find(table, capacity, word, hash);
    if (!entry->hash) {
        strcpy(entry->word, word);
        entry->hash = hash;
        if (++used * 4 > capacity * 3) {
            enlarge();
            entry = find(table, capacity, word, hash);
        }
    }
    entry->count++;
}

static int by_count(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return strcmp(x->word, y->word);
}

RUN int64_t run(int32_t n) {
    capacity = 64;
    used = 0;
    table = calloc(capacity, sizeof *table);
    for (int32_t i = 0; i < n; i++) {
        // Small numbers are frequent: the product of two.
        uint32_t number = random_below(1 + random_below(1 << 14)), length = 0;
        char word[16];
        do word[length++] = "etaoinsh"[number % 8], word[length++] = "rdlucmfw"[number / 3 % 8];
        while (number /= 8);
        word[length] = 0;
        count_word(word);
    }
    qsort(table, capacity, sizeof *table, by_count);
    uint64_t sum = used;
    for (uint32_t i = 0; i < used; i++) sum = mix(sum, (uint64_t)table[i].count << 32 | table[i].hash);
    free(table);
    return (int64_t)sum;
}
