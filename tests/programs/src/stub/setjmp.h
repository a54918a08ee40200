/* ldo.c includes <setjmp.h> and, as built here, uses nothing from it. */
