// Regular expressions: six patterns are compiled to small programs, and n random lines are matched against each by keeping the set
// of states that a match may be in. Sets as lists with marks, recursion, a switch on operators.
#include "kernel.h"

enum op { CHAR, ANY, CLASS, SPLIT, JUMP, MATCH };

struct instruction {
    enum op op;
    int x, y;
    uint32_t letters;
};

enum { MOST = 128, PATTERNS = 6, LINE = 80 };

static const char *const patterns[PATTERNS] = {
    "a(b|c)*d", "x[a-f]+y?z", "(ab|ba)+c", ".*q.r.*", "[aeiou][b-df-h]*[aeiou]z", "((a|b)(c|d)(e|f)*)+g",
};
static struct instruction programs[PATTERNS][MOST], *program;
static int size;
static const char *at;

static int emit(enum op op, int x, int y) {
    program[size].op = op;
    program[size].x = x;
    program[size].y = y;
    return size++;
}

// Makes room for an instruction before those from `start` on.
static void insert(int start) {
    for (int i = size++; i > start; i--) {
        program[i] = program[i - 1];
        if (program[i].op == SPLIT || program[i].op == JUMP) {
            if (program[i].x >= start) program[i].x++;
            if (program[i].op == SPLIT && program[i].y >= start) program[i].y++;
        }
    }
}

static void alternatives(void);

static void atom(void) {
    if (*at == '(') {
        at++;
        alternatives();
        at++;
    } else if (*at == '.') {
        at++;
        emit(ANY, 0, 0);
    } else if (*at == '[') {
        uint32_t letters = 0;
        for (at++; *at != ']'; at++) {
            char last = at[1] == '-' ? at[2] : *at;
            for (char c = *at; c <= last; c++) letters |= 1u << (c - 'a');
            if (at[1] == '-') at += 2;
        }
        at++;
        program[emit(CLASS, 0, 0)].letters = letters;
    } else {
        emit(CHAR, *at++, 0);
    }
}

static void repetition(void) {
    int start = size;
    atom();
    if (*at == '*' || *at == '?') {
        insert(start);
        if (*at == '*') emit(JUMP, start, 0);
        program[start] = (struct instruction){SPLIT, start + 1, size, 0};
        at++;
    } else if (*at == '+') {
        emit(SPLIT, start, size + 1);
        at++;
    }
}

static void alternatives(void) {
    int start = size;
    while (*at && *at != '|' && *at != ')') repetition();
    if (*at == '|') {
        at++;
        insert(start);
        int jump = emit(JUMP, 0, 0);
        program[start] = (struct instruction){SPLIT, start + 1, size, 0};
        alternatives();
        program[jump].x = size;
    }
}

static int states[2][MOST], counts[2];
static uint32_t marks[MOST], mark;

static void add(int list, int state) {
    if (marks[state] == mark) return;
    marks[state] = mark;
    const struct instruction *instruction = &program[state];
    if (instruction->op == SPLIT) {
        add(list, instruction->x);
        add(list, instruction->y);
    } else if (instruction->op == JUMP) {
        add(list, instruction->x);
    } else {
        states[list][counts[list]++] = state;
    }
}

// How many places of the line a match ends at.
static int matches(const char *line) {
    int found = 0, now = 0;
    counts[0] = counts[1] = 0;
    for (int i = 0;; i++) {
        mark++;
        counts[1 - now] = 0;
        int count = counts[now];
        char c = i < LINE ? line[i] : 0;
        for (int k = 0; k < count; k++) {
            const struct instruction *instruction = &program[states[now][k]];
            switch (instruction->op) {
            case CHAR:
                if (c == instruction->x) add(1 - now, states[now][k] + 1);
                break;
            case ANY:
                if (c) add(1 - now, states[now][k] + 1);
                break;
            case CLASS:
                if (c && instruction->letters >> (c - 'a') & 1) add(1 - now, states[now][k] + 1);
                break;
            default: found++;
            }
        }
        if (!c) return found;
        add(1 - now, 0);
        now = 1 - now;
    }
}

RUN int64_t run(int32_t n) {
    for (int i = 0; i < PATTERNS; i++) {
        program = programs[i];
        size = 0;
        at = patterns[i];
        alternatives();
        emit(MATCH, 0, 0);
    }
    uint64_t sum = 0;
    for (int32_t line_number = 0; line_number < n; line_number++) {
        char line[LINE];
        uint32_t letters = random_below(3) ? 7 : 26;
        for (int i = 0; i < LINE; i++) line[i] = (char)('a' + random_below(letters));
        for (int i = 0; i < PATTERNS; i++) {
            program = programs[i];
            sum = mix(sum, (uint64_t)matches(line));
        }
    }
    return (int64_t)sum;
}
