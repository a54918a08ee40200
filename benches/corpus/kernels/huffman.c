// Huffman codes: n times counts the bytes of a text of 8 KiB, builds the tree with a heap, encodes and decodes bit by bit, and
// compares. A heap in arrays, bits in and out, a walk down a tree.
#include "kernel.h"

enum { LENGTH = 8192, SYMBOLS = 256, NODES = 2 * SYMBOLS };

static uint8_t text[LENGTH], packed[2 * LENGTH];
static uint32_t weight[NODES];
static int16_t child[NODES][2], parent[NODES], heap[NODES];
static int heap_size;

static void heap_push(int16_t node) {
    int at = heap_size++;
    while (at > 0 && weight[heap[(at - 1) / 2]] > weight[node]) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = node;
}

static int16_t heap_pop(void) {
    int16_t top = heap[0], last = heap[--heap_size];
    int at = 0;
    for (;;) {
        int down = 2 * at + 1;
        if (down >= heap_size) break;
        if (down + 1 < heap_size && weight[heap[down + 1]] < weight[heap[down]]) down++;
        if (weight[heap[down]] >= weight[last]) break;
        heap[at] = heap[down];
        at = down;
    }
    heap[at] = last;
    return top;
}

static int16_t build(void) {
    for (int i = 0; i < SYMBOLS; i++) weight[i] = 0;
    for (int i = 0; i < LENGTH; i++) weight[text[i]]++;
    heap_size = 0;
    for (int16_t i = 0; i < SYMBOLS; i++) {
        child[i][0] = -1;
        if (weight[i]) heap_push(i);
    }
    int16_t next = SYMBOLS;
    while (heap_size > 1) {
        int16_t a = heap_pop(), b = heap_pop();
        child[next][0] = a;
        child[next][1] = b;
        parent[a] = parent[b] = next;
        weight[next] = weight[a] + weight[b];
        heap_push(next++);
    }
    return heap_pop();
}

static uint32_t encode(int16_t root) {
    uint32_t bits = 0;
    for (int i = 0; i < LENGTH; i++) {
        uint32_t code = 0, length = 0;
        for (int16_t node = text[i]; node != root; node = parent[node], length++)
            code = code << 1 | (child[parent[node]][1] == node);
        for (; length; length--, code >>= 1, bits++) {
            uint8_t mask = (uint8_t)(1 << bits % 8);
            packed[bits / 8] = (uint8_t)((packed[bits / 8] & ~mask) | (code & 1 ? mask : 0));
        }
    }
    return bits;
}

static int decodes(int16_t root) {
    uint32_t bit = 0;
    for (int i = 0; i < LENGTH; i++) {
        int16_t node = root;
        for (; child[node][0] >= 0; bit++) node = child[node][packed[bit / 8] >> bit % 8 & 1];
        if (node != text[i]) return 0;
    }
    return 1;
}

RUN int64_t run(int32_t n) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        for (int k = 0; k < LENGTH; k++) {
            uint32_t spread = random_below(60) + 1;
            text[k] = (uint8_t)(32 + random_below(spread));
        }
        int16_t root = build();
        uint32_t bits = encode(root);
        sum = mix(sum, decodes(root) ? bits : 0);
    }
    return (int64_t)sum;
}
