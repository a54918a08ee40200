// n queens on a board of n by n, counted with bit sets and backtracking. Recursion with four arguments, bit operations.
#include "kernel.h"

static int64_t place(uint32_t all, uint32_t columns, uint32_t falling, uint32_t rising) {
    if (columns == all) return 1;
    int64_t count = 0;
    uint32_t free = all & ~(columns | falling | rising);
    while (free) {
        uint32_t queen = free & -free;
        free ^= queen;
        count += place(all, columns | queen, (falling | queen) << 1, (rising | queen) >> 1);
    }
    return count;
}

RUN int64_t run(int32_t n) {
    return place((1u << n) - 1, 0, 0, 0);
}
