// cmark as a WASI command: `cmark N` parses the Markdown on stdin N times and renders it as HTML, XML, LaTeX, a manual page and Markdown
// again; prints the HTML once, and how many bytes all the others were.
#include <cmark.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(size_t *length) {
    size_t capacity = 1 << 16;
    char *text = malloc(capacity);
    *length = 0;
    for (size_t got; (got = fread(text + *length, 1, capacity - *length, stdin)) > 0;) {
        *length += got;
        if (*length == capacity) text = realloc(text, capacity *= 2);
    }
    return text;
}

static unsigned long long take(char *text) {
    unsigned long long length = strlen(text);
    free(text);
    return length;
}

int main(int argc, char **argv) {
    int repetitions = argc > 1 ? atoi(argv[1]) : 1;
    size_t length;
    char *text = read_all(&length);
    unsigned long long bytes = 0;
    for (int i = 0; i < repetitions; i++) {
        cmark_node *document = cmark_parse_document(text, length, CMARK_OPT_DEFAULT);
        char *html = cmark_render_html(document, CMARK_OPT_DEFAULT);
        if (i == 0) fputs(html, stdout);
        bytes += take(html);
        bytes += take(cmark_render_xml(document, CMARK_OPT_DEFAULT));
        bytes += take(cmark_render_latex(document, CMARK_OPT_DEFAULT, 80));
        bytes += take(cmark_render_man(document, CMARK_OPT_DEFAULT, 80));
        bytes += take(cmark_render_commonmark(document, CMARK_OPT_DEFAULT, 80));
        cmark_node_free(document);
    }
    printf("<!-- %llu bytes -->\n", bytes);
    free(text);
    return 0;
}
