// A machine in the machine: a small register machine whose instructions are structures with the function that executes them, so
// that each step is an indirect call; it runs Euclid's algorithm on n pairs of numbers. Indirect calls, loads through pointers.
#include "kernel.h"

struct machine;
struct instruction {
    void (*execute)(struct machine *, const struct instruction *);
    int32_t a, b, c;
};
struct machine {
    int64_t registers[8];
    const struct instruction *next;
    int running;
};

static void load(struct machine *m, const struct instruction *i) { m->registers[i->a] = i->b; }
static void add(struct machine *m, const struct instruction *i) {
    m->registers[i->a] = (int64_t)((uint64_t)m->registers[i->b] + (uint64_t)m->registers[i->c]);
}
static void subtract(struct machine *m, const struct instruction *i) {
    m->registers[i->a] = (int64_t)((uint64_t)m->registers[i->b] - (uint64_t)m->registers[i->c]);
}
static void multiply(struct machine *m, const struct instruction *i) {
    m->registers[i->a] = (int64_t)((uint64_t)m->registers[i->b] * (uint64_t)m->registers[i->c]);
}
static void mask(struct machine *m, const struct instruction *i) { m->registers[i->a] = m->registers[i->b] & i->c; }
static void jump(struct machine *m, const struct instruction *i) { m->next += i->a; }
static void jump_if_less(struct machine *m, const struct instruction *i) {
    if (m->registers[i->b] < m->registers[i->c]) m->next += i->a;
}
static void jump_if_equal(struct machine *m, const struct instruction *i) {
    if (m->registers[i->b] == m->registers[i->c]) m->next += i->a;
}
static void halt(struct machine *m, const struct instruction *i) { m->running = i->a; }

// 0: sum, 1: x, 2: y, 3: pairs left, 4: generator, 5: one, 6: zero, 7: factor
static const struct instruction code[] = {
    {load, 5, 1, 0},
    {load, 7, 1103515245, 0},
    // next pair
    {jump_if_equal, 18, 3, 6},
    {multiply, 4, 4, 7},
    {add, 4, 4, 7},
    {mask, 1, 4, 0xffff},
    {add, 1, 1, 5},
    {multiply, 4, 4, 7},
    {add, 4, 4, 3},
    {mask, 2, 4, 0xfff},
    {add, 2, 2, 5},
    // Euclid, by subtraction
    {jump_if_equal, 4, 1, 2},
    {jump_if_less, 2, 1, 2},
    {subtract, 1, 1, 2},
    {jump, -4, 0, 0},
    {subtract, 2, 2, 1},
    // The loop's end and the way back from the second branch
    {jump_if_equal, 1, 1, 2},
    {jump, -7, 0, 0},
    {add, 0, 0, 1},
    {subtract, 3, 3, 5},
    {jump, -19, 0, 0},
    {halt, 0, 0, 0},
};

RUN int64_t run(int32_t n) {
    struct machine machine = {.registers = {0, 0, 0, n, 12345, 0, 0, 0}, .next = code, .running = 1};
    while (machine.running) {
        const struct instruction *instruction = machine.next++;
        instruction->execute(&machine, instruction);
    }
    return machine.registers[0] * 1000 + machine.registers[4] % 1000;
}
