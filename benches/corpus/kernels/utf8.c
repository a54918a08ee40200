// UTF-8: validates a text of 16 KiB in four scripts n times and counts its characters, with a table of classes and one of states;
// each time another byte of it is damaged. Chains of dependent loads of bytes.
#include "kernel.h"

enum { LENGTH = 16384 };
// Starts and ends of sequences, and what may come next within one. BROKEN absorbs.
enum { START, ONE, TWO, THREE, TWO_HIGH, TWO_LOW, THREE_HIGH, THREE_LOW, BROKEN, STATES };
enum { ASCII, LOW, MIDDLE, HIGH, TWO_BYTES, E0, ED, THREE_BYTES, F0, F4, FOUR_BYTES, ILLEGAL, CLASSES };

static uint8_t text[LENGTH], classes[256], next[STATES][CLASSES];

static uint8_t class_of(int byte) {
    if (byte < 0x80) return ASCII;
    if (byte < 0x90) return LOW;
    if (byte < 0xa0) return MIDDLE;
    if (byte < 0xc0) return HIGH;
    if (byte < 0xc2 || byte > 0xf4) return ILLEGAL;
    if (byte < 0xe0) return TWO_BYTES;
    if (byte < 0xf0) return byte == 0xe0 ? E0 : byte == 0xed ? ED : THREE_BYTES;
    return byte == 0xf0 ? F0 : byte == 0xf4 ? F4 : FOUR_BYTES;
}

static void make_tables(void) {
    for (int byte = 0; byte < 256; byte++) classes[byte] = class_of(byte);
    for (int state = 0; state < STATES; state++)
        for (int class = 0; class < CLASSES; class++) next[state][class] = BROKEN;
    next[START][ASCII] = START;
    next[START][TWO_BYTES] = ONE;
    next[START][E0] = TWO_HIGH;
    next[START][ED] = TWO_LOW;
    next[START][THREE_BYTES] = TWO;
    next[START][F0] = THREE_HIGH;
    next[START][F4] = THREE_LOW;
    next[START][FOUR_BYTES] = THREE;
    for (int class = LOW; class <= HIGH; class++) {
        next[ONE][class] = START;
        next[TWO][class] = ONE;
        next[THREE][class] = TWO;
    }
    next[TWO_HIGH][HIGH] = ONE;
    next[TWO_LOW][LOW] = next[TWO_LOW][MIDDLE] = ONE;
    next[THREE_HIGH][MIDDLE] = next[THREE_HIGH][HIGH] = TWO;
    next[THREE_LOW][LOW] = TWO;
}

static int put(uint8_t *at, uint32_t c) {
    if (c < 0x80) return at[0] = (uint8_t)c, 1;
    if (c < 0x800) return at[0] = (uint8_t)(0xc0 | c >> 6), at[1] = (uint8_t)(0x80 | (c & 63)), 2;
    at[0] = (uint8_t)(0xe0 | c >> 12);
    at[1] = (uint8_t)(0x80 | (c >> 6 & 63));
    at[2] = (uint8_t)(0x80 | (c & 63));
    return 3;
}

static void make_text(void) {
    int at = 0;
    while (at < LENGTH - 4) {
        uint32_t script = random_below(8);
        for (int word = (int)random_below(12) + 1; word > 0 && at < LENGTH - 4; word--)
            at += put(text + at, script < 5   ? 'a' + random_below(26)
                                 : script < 6 ? 0x3b1 + random_below(24)
                                 : script < 7 ? 0x4e00 + random_below(2000)
                                              : 0x430 + random_below(32));
        text[at++] = ' ';
    }
    while (at < LENGTH) text[at++] = '.';
}

static int64_t characters(void) {
    uint8_t state = START;
    int64_t count = 0;
    for (int i = 0; i < LENGTH; i++) {
        state = next[state][classes[text[i]]];
        count += state == START;
    }
    return state == START ? count : -count;
}

RUN int64_t run(int32_t n) {
    make_tables();
    make_text();
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        uint32_t at = random_below(LENGTH);
        uint8_t kept = text[at];
        if (i % 2) text[at] ^= 0x80;
        sum = mix(sum, (uint64_t)characters());
        text[at] = kept;
    }
    return (int64_t)sum;
}
