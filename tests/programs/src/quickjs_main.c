/*
 * A small stand-alone JavaScript runner over QuickJS.
 *
 *   quickjs.wasm [SCRIPT [ARGUMENTS...]]
 *
 * The script comes from stdin unless a file is named and runs as a classic
 * script; `scriptArgs` holds the file name and the arguments. `print` and
 * `console.log` write their arguments to stdout, separated by a blank. An
 * uncaught exception prints its message and stack on stderr and exits with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"

static char *read_all(FILE *in, size_t *length)
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
    *length = len;
    return text;
}

static JSValue js_print(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv)
{
    (void)self;
    for (int i = 0; i < argc; i++) {
        size_t len;
        const char *text = JS_ToCStringLen(ctx, &len, argv[i]);

        if (!text)
            return JS_EXCEPTION;
        if (i > 0)
            putchar(' ');
        fwrite(text, 1, len, stdout);
        JS_FreeCString(ctx, text);
    }
    putchar('\n');
    return JS_UNDEFINED;
}

static void report_exception(JSContext *ctx)
{
    JSValue exception = JS_GetException(ctx);
    const char *text = JS_ToCString(ctx, exception);

    fflush(stdout);
    fprintf(stderr, "%s\n", text ? text : "(exception has no text)");
    JS_FreeCString(ctx, text);
    if (JS_IsError(exception)) {
        JSValue stack = JS_GetPropertyStr(ctx, exception, "stack");
        const char *frames = JS_IsString(stack) ? JS_ToCString(ctx, stack) : NULL;

        if (frames) {
            fputs(frames, stderr);
            JS_FreeCString(ctx, frames);
        }
        JS_FreeValue(ctx, stack);
    }
    JS_FreeValue(ctx, exception);
}

static void add_globals(JSContext *ctx, int argc, char **argv)
{
    JSValue global = JS_GetGlobalObject(ctx);
    JSValue console = JS_NewObject(ctx);
    JSValue args = JS_NewArray(ctx);

    JS_SetPropertyStr(ctx, global, "print", JS_NewCFunction(ctx, js_print, "print", 1));
    JS_SetPropertyStr(ctx, console, "log", JS_NewCFunction(ctx, js_print, "log", 1));
    JS_SetPropertyStr(ctx, global, "console", console);
    for (int i = 1; i < argc; i++)
        JS_SetPropertyUint32(ctx, args, (uint32_t)(i - 1), JS_NewString(ctx, argv[i]));
    JS_SetPropertyStr(ctx, global, "scriptArgs", args);
    JS_FreeValue(ctx, global);
}

/* Runs the script and every job it queued; returns the exit code. */
static int run(JSContext *ctx, const char *script, size_t len, const char *name)
{
    JSContext *job_ctx;
    JSValue result = JS_Eval(ctx, script, len, name, JS_EVAL_TYPE_GLOBAL);
    int jobs;

    if (JS_IsException(result)) {
        report_exception(ctx);
        return 1;
    }
    JS_FreeValue(ctx, result);
    while ((jobs = JS_ExecutePendingJob(JS_GetRuntime(ctx), &job_ctx)) > 0)
        ;
    if (jobs < 0) {
        report_exception(job_ctx);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "<stdin>";
    FILE *in = argc > 1 ? fopen(argv[1], "rb") : stdin;
    size_t len = 0;
    char *script;
    JSRuntime *runtime;
    JSContext *ctx;
    int code;

    if (!in) {
        fprintf(stderr, "cannot open script %s\n", name);
        return 1;
    }
    script = read_all(in, &len);
    runtime = JS_NewRuntime();
    ctx = runtime ? JS_NewContext(runtime) : NULL;
    if (!script || !ctx) {
        fprintf(stderr, "out of memory\n");
        return 1;
    }
    add_globals(ctx, argc, argv);
    code = run(ctx, script, len, name);
    JS_FreeContext(ctx);
    JS_FreeRuntime(runtime);
    free(script);
    return fflush(stdout) == 0 ? code : 1;
}
