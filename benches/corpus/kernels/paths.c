// Shortest paths: Dijkstra's algorithm on a grid of 64 by 64 with random costs, n times from another start; the queue is a binary
// heap that knows where each place stands, so that places move up. Integers in several arrays, unforeseeable branches.
#include "kernel.h"

enum { SIDE = 64, PLACES = SIDE * SIDE };

static uint32_t cost[PLACES], far[PLACES];
static int32_t heap[PLACES], position[PLACES];
static int32_t waiting;

static void up(int32_t at, int32_t place) {
    while (at > 0) {
        int32_t above = (at - 1) / 2;
        if (far[heap[above]] <= far[place]) break;
        heap[at] = heap[above];
        position[heap[at]] = at;
        at = above;
    }
    heap[at] = place;
    position[place] = at;
}

static int32_t nearest(void) {
    int32_t top = heap[0], last = heap[--waiting], at = 0;
    position[top] = -1;
    if (!waiting) return top;
    for (;;) {
        int32_t below = 2 * at + 1;
        if (below >= waiting) break;
        if (below + 1 < waiting && far[heap[below + 1]] < far[heap[below]]) below++;
        if (far[heap[below]] >= far[last]) break;
        heap[at] = heap[below];
        position[heap[at]] = at;
        at = below;
    }
    heap[at] = last;
    position[last] = at;
    return top;
}

static void reach(int32_t place, uint32_t distance) {
    distance += cost[place];
    if (distance >= far[place]) return;
    int32_t at = far[place] == UINT32_MAX ? waiting++ : position[place];
    far[place] = distance;
    up(at, place);
}

static uint64_t explore(int32_t start) {
    for (int32_t i = 0; i < PLACES; i++) far[i] = UINT32_MAX, position[i] = -1;
    waiting = 0;
    reach(start, 0);
    uint64_t sum = 0;
    while (waiting) {
        int32_t place = nearest();
        uint32_t distance = far[place];
        sum = mix(sum, distance);
        if (place % SIDE > 0) reach(place - 1, distance);
        if (place % SIDE < SIDE - 1) reach(place + 1, distance);
        if (place >= SIDE) reach(place - SIDE, distance);
        if (place < PLACES - SIDE) reach(place + SIDE, distance);
    }
    return sum;
}

RUN int64_t run(int32_t n) {
    for (int32_t i = 0; i < PLACES; i++) cost[i] = 1 + random_below(99);
    uint64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum = mix(sum, explore((int32_t)random_below(PLACES)));
    return (int64_t)sum;
}
