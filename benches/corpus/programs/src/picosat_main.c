// PicoSAT as a WASI command: reads a formula in DIMACS form from stdin, and prints whether it can be satisfied, how, and what the search took.
#include "picosat.h"
#include <stdio.h>
#include <stdlib.h>

static int next_number(int *number) {
    char word[64];
    while (scanf("%63s", word) == 1) {
        if (word[0] == 'c' || word[0] == 'p') {
            int c;
            while ((c = getchar()) != EOF && c != '\n')
                ;
            continue;
        }
        *number = atoi(word);
        return 1;
    }
    return 0;
}

int main(void) {
    PicoSAT *solver = picosat_init();
    int number;
    while (next_number(&number)) picosat_add(solver, number);
    int result = picosat_sat(solver, -1);
    printf("s %s\n", result == PICOSAT_SATISFIABLE     ? "SATISFIABLE"
                     : result == PICOSAT_UNSATISFIABLE ? "UNSATISFIABLE"
                                                       : "UNKNOWN");
    if (result == PICOSAT_SATISFIABLE) {
        for (int i = 1; i <= picosat_variables(solver); i++)
            printf("%d%c", picosat_deref(solver, i) > 0 ? i : -i, i % 16 ? ' ' : '\n');
        puts("0");
    }
    printf("c %d variables, %d clauses, %llu decisions, %llu propagations\n", picosat_variables(solver),
           picosat_added_original_clauses(solver), picosat_decisions(solver), picosat_propagations(solver));
    picosat_reset(solver);
    return result == PICOSAT_UNKNOWN;
}
