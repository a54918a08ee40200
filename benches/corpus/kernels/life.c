// Game of life: n generations on a torus of 96 by 96, a byte a cell. Neighbours with wrap-around, stores of comparisons.
#include "kernel.h"

enum { SIDE = 96 };

static uint8_t boards[2][SIDE][SIDE];

static void step(uint8_t now[SIDE][SIDE], uint8_t next[SIDE][SIDE]) {
    for (int y = 0; y < SIDE; y++) {
        const uint8_t *above = now[(y + SIDE - 1) % SIDE], *here = now[y], *below = now[(y + 1) % SIDE];
        for (int x = 0; x < SIDE; x++) {
            int left = x == 0 ? SIDE - 1 : x - 1, right = x == SIDE - 1 ? 0 : x + 1;
            int neighbours = above[left] + above[x] + above[right] + here[left] + here[right] + below[left] +
                             below[x] + below[right];
            next[y][x] = neighbours == 3 || (neighbours == 2 && here[x]);
        }
    }
}

RUN int64_t run(int32_t n) {
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) boards[0][y][x] = random_below(3) == 0;
    for (int32_t i = 0; i < n; i++) step(boards[i % 2], boards[(i + 1) % 2]);
    uint64_t sum = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) sum = mix(sum, boards[n % 2][y][x]);
    return (int64_t)sum;
}
