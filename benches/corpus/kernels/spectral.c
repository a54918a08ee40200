// The spectral norm of an infinite matrix, cut off after n rows: power iteration with products that are computed, not stored.
// Floating-point division and conversion from integers in nested loops.
#include "kernel.h"
#include <stdlib.h>
#include <string.h>

static double entry(int32_t row, int32_t column) {
    int32_t diagonal = row + column;
    return 1.0 / (double)(diagonal * (diagonal + 1) / 2 + row + 1);
}

static void times(int32_t n, const double *from, double *to) {
    for (int32_t row = 0; row < n; row++) {
        double sum = 0;
        for (int32_t column = 0; column < n; column++) sum += entry(row, column) * from[column];
        to[row] = sum;
    }
}

static void times_transposed(int32_t n, const double *from, double *to) {
    for (int32_t row = 0; row < n; row++) {
        double sum = 0;
        for (int32_t column = 0; column < n; column++) sum += entry(column, row) * from[column];
        to[row] = sum;
    }
}

RUN int64_t run(int32_t n) {
    double *u = malloc(sizeof(double) * n), *v = malloc(sizeof(double) * n), *between = malloc(sizeof(double) * n);
    for (int32_t i = 0; i < n; i++) u[i] = 1;
    for (int round = 0; round < 10; round++) {
        times(n, u, between);
        times_transposed(n, between, v);
        times(n, v, between);
        times_transposed(n, between, u);
    }
    double uv = 0, vv = 0;
    for (int32_t i = 0; i < n; i++) {
        uv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    free(u);
    free(v);
    free(between);
    double norm = __builtin_sqrt(uv / vv);
    int64_t bits;
    memcpy(&bits, &norm, sizeof bits);
    return bits;
}
