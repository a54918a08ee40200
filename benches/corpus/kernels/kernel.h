// What all kernels share: the export, and numbers that look random and are the same in every run.
#pragma once
#include <stdint.h>

#define RUN __attribute__((export_name("run")))

static uint64_t random_state = 0x2545f4914f6cdd1dULL;

// A number of 32 bits (xorshift64*).
static inline uint32_t random_u32(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * 0x9e3779b97f4a7c15ULL) >> 32);
}

// A number below `limit`.
static inline uint32_t random_below(uint32_t limit) {
    return (uint32_t)(((uint64_t)random_u32() * limit) >> 32);
}

// Mixes a number into a checksum.
static inline uint64_t mix(uint64_t sum, uint64_t value) {
    sum = (sum ^ value) * 0x100000001b3ULL;
    return sum ^ (sum >> 29);
}
