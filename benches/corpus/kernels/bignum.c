// Big numbers: 7 to the power of n by squaring and multiplying, numbers in words of 32 bits, products by Karatsuba's method down to
// 24 words. Products of 64 bits, carries, recursion on slices.
#include "kernel.h"
#include <stdlib.h>
#include <string.h>

enum { SCHOOL = 24 };

static void multiply_school(const uint32_t *a, const uint32_t *b, int size, uint32_t *product) {
    memset(product, 0, sizeof(uint32_t) * 2 * size);
    for (int i = 0; i < size; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < size; j++) {
            carry += (uint64_t)a[i] * b[j] + product[i + j];
            product[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        product[i + size] = (uint32_t)carry;
    }
}

static uint32_t add(uint32_t *to, const uint32_t *from, int size) {
    uint64_t carry = 0;
    for (int i = 0; i < size; i++) {
        carry += (uint64_t)to[i] + from[i];
        to[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return (uint32_t)carry;
}

static uint32_t subtract(uint32_t *to, const uint32_t *from, int size) {
    uint32_t borrow = 0;
    for (int i = 0; i < size; i++) {
        uint64_t difference = (uint64_t)to[i] - from[i] - borrow;
        to[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    return borrow;
}

static void propagate(uint32_t *to, uint32_t carry) {
    for (; carry; to++) {
        uint64_t sum = (uint64_t)*to + carry;
        *to = (uint32_t)sum;
        carry = (uint32_t)(sum >> 32);
    }
}

// `a` and `b` of `size` words, a power of two times SCHOOL or less; `scratch` of 8 * size words.
static void multiply(const uint32_t *a, const uint32_t *b, int size, uint32_t *product, uint32_t *scratch) {
    if (size <= SCHOOL || size % 2) {
        multiply_school(a, b, size, product);
        return;
    }
    int half = size / 2;
    uint32_t *sum_a = scratch, *sum_b = scratch + half, *middle = scratch + size, *rest = scratch + 2 * size + 2;
    memcpy(sum_a, a, sizeof(uint32_t) * half);
    memcpy(sum_b, b, sizeof(uint32_t) * half);
    uint32_t carry_a = add(sum_a, a + half, half), carry_b = add(sum_b, b + half, half);
    multiply(sum_a, sum_b, half, middle, rest);
    middle[size] = carry_a & carry_b;
    if (carry_a) middle[size] += add(middle + half, sum_b, half);
    if (carry_b) middle[size] += add(middle + half, sum_a, half);
    multiply(a, b, half, product, rest);
    multiply(a + half, b + half, half, product + size, rest);
    middle[size] -= subtract(middle, product, size);
    middle[size] -= subtract(middle, product + size, size);
    propagate(product + half + size, add(product + half, middle, size) + middle[size]);
}

RUN int64_t run(int32_t n) {
    // 7^n takes less than 2.81 bits per unit of n.
    int size = SCHOOL;
    while ((int64_t)size * 32 < (int64_t)n * 281 / 100 + 64) size *= 2;
    uint32_t *power = calloc(size, 4), *product = calloc(2 * size + 2, 4), *scratch = calloc(8 * size + 64, 4);
    power[0] = 1;
    int used = SCHOOL;
    for (int bit = 30; bit >= 0; bit--) {
        while (used < size && power[used / 2 - 1]) used *= 2;
        multiply(power, power, used, product, scratch);
        memcpy(power, product, sizeof(uint32_t) * (2 * used < size ? 2 * used : size));
        if (n >> bit & 1) {
            uint64_t carry = 0;
            for (int i = 0; i < size; i++) {
                carry += (uint64_t)power[i] * 7;
                power[i] = (uint32_t)carry;
                carry >>= 32;
            }
        }
    }
    uint64_t sum = 0;
    for (int i = 0; i < size; i++) sum = mix(sum, power[i]);
    free(power);
    free(product);
    free(scratch);
    return (int64_t)sum;
}
