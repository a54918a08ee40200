/*
 * A small stand-alone Lua interpreter.
 *
 *   lua.wasm [SCRIPT [ARGUMENTS...]]
 *
 * The script comes from stdin unless a file is named; `arg` and `...` hold
 * the arguments. An error prints its message on stderr and exits with 1, see
 * lua_wasi.h. `math.random` starts from a fixed seed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "lua.h"
#include "lualib.h"
#include "lauxlib.h"

FILE *tmpfile(void) { return NULL; }
char *tmpnam(char *buffer) { (void)buffer; return NULL; }
int system(const char *command) { return command ? -1 : 0; }

_Noreturn void lua_wasi_throw(lua_State *L, int status)
{
    const char *message;

    fflush(stdout);
    if (status == LUA_YIELD)
        message = "attempt to yield: this build cannot switch coroutines";
    else if (status == LUA_ERRMEM)
        message = "not enough memory";
    else if (lua_type(L, -1) == LUA_TSTRING)
        message = lua_tostring(L, -1);
    else
        message = "(error object is not a string)";
    fprintf(stderr, "lua: %s\n", message);
    exit(1);
}

int main(int argc, char **argv)
{
    lua_State *L = luaL_newstate();
    int code;

    if (!L) {
        fprintf(stderr, "lua: cannot create the state\n");
        return 1;
    }
    luaL_openlibs(L);
    if (luaL_dostring(L, "math.randomseed(1)") != LUA_OK)
        return 1;

    lua_createtable(L, argc, 0);
    for (int i = 1; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - 1);
    }
    lua_setglobal(L, "arg");

    code = luaL_loadfile(L, argc > 1 ? argv[1] : NULL);
    if (code == LUA_OK) {
        int args = argc > 2 ? argc - 2 : 0;
        luaL_checkstack(L, args, "too many arguments");
        for (int i = 0; i < args; i++)
            lua_pushstring(L, argv[i + 2]);
        code = lua_pcall(L, args, 0, 0);
    }
    if (code != LUA_OK) {
        fprintf(stderr, "lua: %s\n", lua_tostring(L, -1));
        return 1;
    }
    lua_close(L);
    return fflush(stdout) == 0 ? 0 : 1;
}
