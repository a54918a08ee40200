/*
 * Force-included before sqlite3.c: the POSIX names its unix VFS mentions and
 * wasi-libc does not declare. None is reached with the `unix-none` VFS, which
 * takes no locks, changes no owner and maps no memory.
 */
#ifndef SQLITE_WASI_H
#define SQLITE_WASI_H

#include <errno.h>
#include <sys/stat.h>
#include <sys/types.h>

static inline int fchmod(int fd, mode_t mode) { (void)fd; (void)mode; return 0; }
static inline int fchown(int fd, uid_t owner, gid_t group) { (void)fd; (void)owner; (void)group; return 0; }
static inline uid_t geteuid(void) { return 0; }

#endif
