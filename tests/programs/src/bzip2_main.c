/*
 * The bzip2 library as a filter, and a self-test.
 *
 *   bzip2.wasm c            compresses stdin to stdout
 *   bzip2.wasm d            decompresses stdin to stdout
 *   bzip2.wasm selftest N   makes N bytes of text-like data, compresses,
 *                           decompresses, compares, prints the sizes and the
 *                           FNV-1a checksums
 *
 * A failure prints its reason on stderr and exits with 1.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bzlib.h"

enum { CHUNK = 1 << 16, LEVEL = 9 };

/* The library, built without stdio, reports a broken invariant here. */
void bz_internal_error(int code)
{
    fprintf(stderr, "bzip2: internal error %d\n", code);
    abort();
}

static int fail(const char *what, int code)
{
    fprintf(stderr, "bzip2: %s (%d)\n", what, code);
    return 1;
}

static int compress_stream(FILE *in, FILE *out)
{
    static char input[CHUNK], output[CHUNK];
    bz_stream bz = {0};
    int code = BZ2_bzCompressInit(&bz, LEVEL, 0, 0);

    if (code != BZ_OK)
        return fail("cannot start compressing", code);
    do {
        size_t got = fread(input, 1, CHUNK, in);
        int action = got < CHUNK ? BZ_FINISH : BZ_RUN;

        if (ferror(in))
            return fail("cannot read", 0);
        bz.next_in = input;
        bz.avail_in = (unsigned)got;
        do {
            bz.next_out = output;
            bz.avail_out = CHUNK;
            code = BZ2_bzCompress(&bz, action);
            if (code < 0)
                return fail("cannot compress", code);
            if (fwrite(output, 1, CHUNK - bz.avail_out, out) != CHUNK - bz.avail_out)
                return fail("cannot write", 0);
        } while (action == BZ_FINISH ? code != BZ_STREAM_END : bz.avail_in > 0);
    } while (code != BZ_STREAM_END);
    BZ2_bzCompressEnd(&bz);
    return 0;
}

/* Accepts concatenated streams, like the command-line tool. */
static int decompress_stream(FILE *in, FILE *out)
{
    static char input[CHUNK], output[CHUNK];
    bz_stream bz = {0};
    int open = 0, streams = 0;

    for (;;) {
        int code;

        if (bz.avail_in == 0) {
            bz.next_in = input;
            bz.avail_in = (unsigned)fread(input, 1, CHUNK, in);
            if (ferror(in))
                return fail("cannot read", 0);
            if (bz.avail_in == 0)
                break;
        }
        if (!open) {
            code = BZ2_bzDecompressInit(&bz, 0, 0);
            if (code != BZ_OK)
                return fail("cannot start decompressing", code);
            open = 1;
            streams++;
        }
        do {
            bz.next_out = output;
            bz.avail_out = CHUNK;
            code = BZ2_bzDecompress(&bz);
            if (code < 0)
                return fail("cannot decompress", code);
            if (fwrite(output, 1, CHUNK - bz.avail_out, out) != CHUNK - bz.avail_out)
                return fail("cannot write", 0);
        } while (code == BZ_OK && (bz.avail_in > 0 || bz.avail_out == 0));
        if (code == BZ_STREAM_END) {
            BZ2_bzDecompressEnd(&bz);
            open = 0;
        }
    }
    if (open || streams == 0)
        return fail("input ends too early", BZ_UNEXPECTED_EOF);
    return 0;
}

static uint32_t lcg_state = 12345;

static uint32_t next_random(uint32_t bound)
{
    lcg_state = lcg_state * 1664525u + 1013904223u;
    return (lcg_state >> 8) % bound;
}

/*
 * Words of a made-up vocabulary, the low ones more often than the high ones,
 * with punctuation, line ends and now and then a number.
 */
static void generate(char *data, size_t len)
{
    static const char syllables[][4] = {"ba", "cor", "de", "fin", "gu", "hal", "is", "ko",
                                        "lum", "ma", "ner", "or", "pi", "ras", "tol", "ven"};
    size_t at = 0, column = 0;

    while (at < len) {
        char word[32];
        size_t n = 0;

        if (next_random(24) == 0) {
            n = (size_t)snprintf(word, sizeof word, "%u", (unsigned)next_random(100000));
        } else {
            uint32_t id = next_random(1 + next_random(1 + next_random(4096)));
            do {
                const char *part = syllables[id & 15];
                size_t part_len = strlen(part);
                memcpy(word + n, part, part_len);
                n += part_len;
                id >>= 4;
            } while (id > 0);
        }
        if (next_random(12) == 0)
            word[n++] = next_random(3) == 0 ? '.' : ',';
        column += n + 1;
        word[n++] = column > 72 ? '\n' : ' ';
        if (column > 72)
            column = 0;
        if (n > len - at)
            n = len - at;
        memcpy(data + at, word, n);
        at += n;
    }
}

static uint32_t fnv1a(const char *data, size_t len)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    return hash;
}

static int selftest(unsigned len)
{
    unsigned packed_len = len + len / 100 + 600, unpacked_len = len;
    char *data = malloc(len ? len : 1);
    char *packed = malloc(packed_len);
    char *unpacked = malloc(len ? len : 1);
    int code;

    if (!data || !packed || !unpacked)
        return fail("out of memory", BZ_MEM_ERROR);
    generate(data, len);
    code = BZ2_bzBuffToBuffCompress(packed, &packed_len, data, len, LEVEL, 0, 0);
    if (code != BZ_OK)
        return fail("cannot compress", code);
    code = BZ2_bzBuffToBuffDecompress(unpacked, &unpacked_len, packed, packed_len, 0, 0);
    if (code != BZ_OK)
        return fail("cannot decompress", code);
    if (unpacked_len != len || memcmp(data, unpacked, len) != 0)
        return fail("the round trip changed the data", 0);
    printf("plain %u bytes, checksum %08x\n", len, (unsigned)fnv1a(data, len));
    printf("packed %u bytes, checksum %08x\n", packed_len, (unsigned)fnv1a(packed, packed_len));
    printf("round trip ok\n");
    free(data);
    free(packed);
    free(unpacked);
    return 0;
}

int main(int argc, char **argv)
{
    int code = 2;

    if (argc == 2 && strcmp(argv[1], "c") == 0)
        code = compress_stream(stdin, stdout);
    else if (argc == 2 && strcmp(argv[1], "d") == 0)
        code = decompress_stream(stdin, stdout);
    else if (argc == 3 && strcmp(argv[1], "selftest") == 0)
        code = selftest((unsigned)strtoul(argv[2], NULL, 10));
    else
        fprintf(stderr, "usage: bzip2.wasm c | d | selftest N\n");
    if (fflush(stdout) != 0)
        return fail("cannot write", 0);
    return code;
}
