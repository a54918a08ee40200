// Blurring: n passes over an image of 256 by 256 with a kernel of 5 by 5 in two directions, 16-bit sums of bytes; built with
// -msimd128, so that the compiler's own vector code runs: widening, shifts, narrowing.
#include "kernel.h"

enum { SIDE = 256, EDGE = 2, WIDTH = SIDE + 2 * EDGE };

static uint8_t image[WIDTH][WIDTH], between[WIDTH][WIDTH];

static void horizontal(void) {
    for (int y = 0; y < WIDTH; y++)
        for (int x = EDGE; x < WIDTH - EDGE; x++)
            between[y][x] = (uint8_t)((uint16_t)(image[y][x - 2] + 4 * image[y][x - 1] + 6 * image[y][x] +
                                                 4 * image[y][x + 1] + image[y][x + 2] + 8) >> 4);
}

static void vertical(uint8_t brighter) {
    for (int y = EDGE; y < WIDTH - EDGE; y++)
        for (int x = EDGE; x < WIDTH - EDGE; x++)
            image[y][x] = (uint8_t)(((uint16_t)(between[y - 2][x] + 4 * between[y - 1][x] + 6 * between[y][x] +
                                                4 * between[y + 1][x] + between[y + 2][x] + 8) >> 4) + brighter);
}

RUN int64_t run(int32_t n) {
    for (int y = 0; y < WIDTH; y++)
        for (int x = 0; x < WIDTH; x++) image[y][x] = (uint8_t)random_u32();
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        horizontal();
        vertical((uint8_t)(i * 37));
        sum = mix(sum, image[EDGE + i % SIDE][EDGE + i * 7 % SIDE]);
    }
    for (int y = 0; y < WIDTH; y++)
        for (int x = 0; x < WIDTH; x++) sum = mix(sum, image[y][x]);
    return (int64_t)sum;
}
