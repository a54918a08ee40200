// Edit distances of n pairs of strings of 200 letters, one row of the table at a time; the second string is the first one with
// changes. Bytes and 16-bit integers, minima without branches or with.
#include "kernel.h"

enum { LENGTH = 200 };

static uint8_t first[LENGTH], second[LENGTH];

static void make_pair(void) {
    for (int i = 0; i < LENGTH; i++) {
        first[i] = (uint8_t)('a' + random_below(20));
        second[i] = random_below(4) ? first[i] : (uint8_t)('a' + random_below(20));
    }
    // Moves a part, so that the way through the table leaves the diagonal.
    uint32_t from = random_below(LENGTH / 2), by = random_below(20);
    for (uint32_t i = from; i + by < LENGTH; i++) second[i] = second[i + by];
}

static uint32_t distance(void) {
    uint16_t row[LENGTH + 1];
    for (int j = 0; j <= LENGTH; j++) row[j] = (uint16_t)j;
    for (int i = 1; i <= LENGTH; i++) {
        uint16_t diagonal = row[0];
        row[0] = (uint16_t)i;
        for (int j = 1; j <= LENGTH; j++) {
            uint16_t above = row[j];
            uint16_t best = (uint16_t)(diagonal + (first[i - 1] != second[j - 1]));
            if (above + 1 < best) best = (uint16_t)(above + 1);
            if (row[j - 1] + 1 < best) best = (uint16_t)(row[j - 1] + 1);
            row[j] = best;
            diagonal = above;
        }
    }
    return row[LENGTH];
}

RUN int64_t run(int32_t n) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        make_pair();
        sum = mix(sum, distance());
    }
    return (int64_t)sum;
}
