/*
 * Force-included before every Lua source. wasi-libc has no setjmp, so an
 * error cannot unwind: a throw reports its message and ends the program, and
 * a protected call just runs its body. Hence `pcall` returns only on success
 * and `coroutine.yield` ends the program.
 */
#ifndef LUA_WASI_H
#define LUA_WASI_H

#include <stdio.h>

struct lua_State;
_Noreturn void lua_wasi_throw(struct lua_State *L, int status);

#define LUAI_THROW(L, c) lua_wasi_throw(L, (c)->status)
#define LUAI_TRY(L, c, a) { a }
#define luai_jmpbuf int

/* Fixed seeds: equal input gives equal output, table order included. */
#define luai_makeseed(L) 0x5eedu
#define l_randomizePivot() (~0u)

/* Not in WASI; the drivers define them to fail. */
FILE *tmpfile(void);
char *tmpnam(char *buffer);
int system(const char *command);
#ifndef L_tmpnam
#define L_tmpnam 20
#endif

#endif
