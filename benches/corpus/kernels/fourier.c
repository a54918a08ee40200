// Fourier transforms: n times 512 complex numbers forth, a shift, and back, in place, with a table of roots. Floating point with
// strides of powers of two; bit reversal.
#include "kernel.h"
#include <string.h>

enum { SIZE = 512, BITS = 9 };

static double re[SIZE], im[SIZE], root_re[SIZE / 2], root_im[SIZE / 2];

// Roots by halving angles: cos and sin of pi/2^k from those of pi/2^(k-1), and products.
static void make_roots(void) {
    double step_re = -1, step_im = 0;
    for (int k = 1; k < BITS; k++) {
        double next_re = __builtin_sqrt((1 + step_re) / 2);
        step_im = step_im == 0 ? 1 : step_im / (2 * next_re);
        step_re = next_re;
    }
    root_re[0] = 1;
    root_im[0] = 0;
    for (int i = 1; i < SIZE / 2; i++) {
        root_re[i] = root_re[i - 1] * step_re - root_im[i - 1] * step_im;
        root_im[i] = root_re[i - 1] * step_im + root_im[i - 1] * step_re;
    }
}

static void transform(double direction) {
    for (uint32_t i = 0, j = 0; i < SIZE; i++) {
        if (i < j) {
            double kept = re[i];
            re[i] = re[j], re[j] = kept;
            kept = im[i];
            im[i] = im[j], im[j] = kept;
        }
        uint32_t bit = SIZE / 2;
        for (; j & bit; bit /= 2) j ^= bit;
        j |= bit;
    }
    for (int half = 1; half < SIZE; half *= 2) {
        int stride = SIZE / 2 / half;
        for (int start = 0; start < SIZE; start += 2 * half) {
            for (int k = 0; k < half; k++) {
                double w_re = root_re[k * stride], w_im = direction * root_im[k * stride];
                int low = start + k, high = low + half;
                double t_re = re[high] * w_re - im[high] * w_im, t_im = re[high] * w_im + im[high] * w_re;
                re[high] = re[low] - t_re;
                im[high] = im[low] - t_im;
                re[low] += t_re;
                im[low] += t_im;
            }
        }
    }
}

RUN int64_t run(int32_t n) {
    make_roots();
    for (int i = 0; i < SIZE; i++) re[i] = (int32_t)random_below(2001) - 1000, im[i] = 0;
    for (int32_t i = 0; i < n; i++) {
        transform(1);
        // Multiplying by roots shifts what comes back by one.
        for (int k = 0; k < SIZE; k++) {
            double w_re = k < SIZE / 2 ? root_re[k] : -root_re[k - SIZE / 2];
            double w_im = k < SIZE / 2 ? root_im[k] : -root_im[k - SIZE / 2];
            double x = re[k];
            re[k] = (x * w_re - im[k] * w_im) / SIZE;
            im[k] = (x * w_im + im[k] * w_re) / SIZE;
        }
        transform(-1);
    }
    uint64_t sum = 0;
    for (int i = 0; i < SIZE; i++) {
        uint64_t bits;
        memcpy(&bits, &re[i], sizeof bits);
        sum = mix(sum, bits);
    }
    return (int64_t)sum;
}
