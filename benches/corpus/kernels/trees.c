// Binary trees from malloc: keeps a tree of 2^10 leaves, builds and frees n trees of 2^2 to 2^9 leaves beside it, each counted by
// recursion. Allocation, pointers, recursion.
#include "kernel.h"
#include <stdlib.h>

struct node {
    struct node *left, *right;
};

static struct node *grow(int depth) {
    struct node *node = malloc(sizeof *node);
    node->left = depth ? grow(depth - 1) : 0;
    node->right = depth ? grow(depth - 1) : 0;
    return node;
}

static int64_t count(const struct node *node) {
    return node->left ? 1 + count(node->left) + count(node->right) : 1;
}

static void fell(struct node *node) {
    if (node->left) {
        fell(node->left);
        fell(node->right);
    }
    free(node);
}

RUN int64_t run(int32_t n) {
    struct node *kept = grow(10);
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
        struct node *tree = grow(2 + i % 8);
        sum += count(tree);
        fell(tree);
    }
    sum = sum * 10000 + count(kept);
    fell(kept);
    return sum;
}
