// Pancake flips: goes through the first n permutations of 11 numbers, those with the largest at the bottom first, and turns each over
// until 0 is on top; answers the most flips and a checksum. Small arrays of bytes, reversed in place; short loops of unforeseeable length.
#include "kernel.h"

enum { SIZE = 11 };

static int flips(const uint8_t *permutation) {
    uint8_t p[SIZE];
    for (int i = 0; i < SIZE; i++) p[i] = permutation[SIZE - 1 - i];
    int count = 0;
    while (p[0] != 0) {
        for (int low = 0, high = p[0]; low < high; low++, high--) {
            uint8_t kept = p[low];
            p[low] = p[high];
            p[high] = kept;
        }
        count++;
    }
    return count;
}

// The next permutation in lexicographic order; 0 after the last.
static int advance(uint8_t *p) {
    int i = SIZE - 2;
    while (i >= 0 && p[i] > p[i + 1]) i--;
    if (i < 0) return 0;
    int j = SIZE - 1;
    while (p[j] < p[i]) j--;
    uint8_t kept = p[i];
    p[i] = p[j];
    p[j] = kept;
    for (int low = i + 1, high = SIZE - 1; low < high; low++, high--) {
        kept = p[low];
        p[low] = p[high];
        p[high] = kept;
    }
    return 1;
}

RUN int64_t run(int32_t n) {
    uint8_t p[SIZE];
    int64_t sum = 0, most = 0;
    for (int i = 0; i < SIZE; i++) p[i] = (uint8_t)i;
    for (int32_t i = 0; i < n; i++) {
        int count = flips(p);
        sum += i % 2 == 0 ? count : -count;
        if (count > most) most = count;
        if (!advance(p))
            for (int k = 0; k < SIZE; k++) p[k] = (uint8_t)k;
    }
    return most * 1000000000000 + sum;
}
