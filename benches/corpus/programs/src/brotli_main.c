// Brotli as a WASI command: `brotli QUALITY` compresses stdin with this quality (0 to 11), decompresses it again, compares, and prints the sizes and a
// checksum of what was compressed.
#include <brotli/decode.h>
#include <brotli/encode.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int quality = argc > 1 ? atoi(argv[1]) : 9;
    size_t capacity = 1 << 22;
    uint8_t *text = malloc(capacity);
    size_t length = fread(text, 1, capacity, stdin);
    if (length == capacity) {
        fputs("more than 4 MiB\n", stderr);
        return 1;
    }
    size_t packed_size = BrotliEncoderMaxCompressedSize(length), back_size = length + 1;
    uint8_t *packed = malloc(packed_size), *back = malloc(back_size);
    if (!BrotliEncoderCompress(quality, 22, BROTLI_MODE_GENERIC, length, text, &packed_size, packed)) {
        fputs("cannot compress\n", stderr);
        return 1;
    }
    if (BrotliDecoderDecompress(packed_size, packed, &back_size, back) != BROTLI_DECODER_RESULT_SUCCESS ||
        back_size != length || memcmp(text, back, length) != 0) {
        fputs("the way back differs\n", stderr);
        return 1;
    }
    uint64_t sum = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < packed_size; i++) sum = (sum ^ packed[i]) * 0x100000001b3ULL;
    printf("%zu -> %zu bytes, %016llx\n", length, packed_size, (unsigned long long)sum);
    return 0;
}
