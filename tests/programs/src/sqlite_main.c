/*
 * A small SQL runner over SQLite.
 *
 *   sqlite.wasm [DATABASE [SCRIPT]]
 *
 * DATABASE defaults to ":memory:"; the script comes from stdin unless a file
 * is named. Rows are printed as `a|b|c`, NULL as the empty string and blobs
 * as lower-case hex. The first failing statement stops the run: its message
 * goes to stderr, with the line it starts on, and the exit code is 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sqlite3.h"

static char *read_all(FILE *in)
{
    size_t len = 0, cap = 1 << 16;
    char *text = malloc(cap);

    while (text) {
        size_t got = fread(text + len, 1, cap - len - 1, in);
        if (got == 0)
            break;
        len += got;
        if (cap - len < 4096) {
            char *grown = realloc(text, cap * 2);
            if (!grown) {
                free(text);
                return NULL;
            }
            text = grown;
            cap *= 2;
        }
    }
    if (text && ferror(in)) {
        free(text);
        return NULL;
    }
    if (text)
        text[len] = 0;
    return text;
}

static void print_value(sqlite3_stmt *stmt, int column)
{
    static const char digits[] = "0123456789abcdef";

    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_NULL:
        break;
    case SQLITE_BLOB: {
        const unsigned char *bytes = sqlite3_column_blob(stmt, column);
        int len = sqlite3_column_bytes(stmt, column);
        for (int i = 0; i < len; i++) {
            putchar(digits[bytes[i] >> 4]);
            putchar(digits[bytes[i] & 15]);
        }
        break;
    }
    default: {
        const unsigned char *text = sqlite3_column_text(stmt, column);
        fwrite(text, 1, (size_t)sqlite3_column_bytes(stmt, column), stdout);
    }
    }
}

static int run_statement(sqlite3_stmt *stmt)
{
    int columns = sqlite3_column_count(stmt);
    int code;

    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        for (int i = 0; i < columns; i++) {
            if (i > 0)
                putchar('|');
            print_value(stmt, i);
        }
        putchar('\n');
    }
    return code;
}

static int line_of(const char *text, const char *at)
{
    int line = 1;

    while (at[0] == ' ' || at[0] == '\t' || at[0] == '\r' || at[0] == '\n')
        at++;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static int run_script(sqlite3 *db, const char *script)
{
    const char *next = script;

    while (*next) {
        const char *start = next;
        sqlite3_stmt *stmt = NULL;
        int code = sqlite3_prepare_v2(db, start, -1, &stmt, &next);

        if (code == SQLITE_OK && stmt)
            code = run_statement(stmt);
        if (code != SQLITE_OK && code != SQLITE_DONE) {
            fflush(stdout);
            fprintf(stderr, "error near line %d: %s\n", line_of(script, start), sqlite3_errmsg(db));
            sqlite3_finalize(stmt);
            return 1;
        }
        sqlite3_finalize(stmt);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : ":memory:";
    FILE *in = argc > 2 ? fopen(argv[2], "rb") : stdin;
    sqlite3 *db = NULL;
    char *script;
    int code;

    if (!in) {
        fprintf(stderr, "cannot open script %s\n", argv[2]);
        return 1;
    }
    script = read_all(in);
    if (!script) {
        fprintf(stderr, "cannot read the script\n");
        return 1;
    }
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        fprintf(stderr, "cannot open database %s: %s\n", path, db ? sqlite3_errmsg(db) : "out of memory");
        return 1;
    }
    code = run_script(db, script);
    free(script);
    if (sqlite3_close(db) != SQLITE_OK)
        code = 1;
    if (fflush(stdout) != 0)
        code = 1;
    return code;
}
