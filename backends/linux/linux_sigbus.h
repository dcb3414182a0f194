/* Mapped files and SIGBUS. A page of a mapped file that can't be had any more (the file was truncated,
 * its disk failed) raises SIGBUS in whoever reads it. The handler of lsi_os_sigbus_install (core/seams/os.h)
 * knows the ranges that are guarded here: it puts zeros in place of what is lost and marks the range,
 * so that the reader goes on and its results are dropped when it has ended. */
#ifndef LSI_LINUX_SIGBUS_H
#define LSI_LINUX_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

/* A place in the table of guarded ranges; -1 when it is full. `from` is on a page boundary. Any thread;
 * lock-free. */
int lsi_guard_add(const void *from, size_t bytes);
/* Before the range is unmapped. */
void lsi_guard_remove(int place);
/* True once part of the range has been lost. */
bool lsi_guard_lost(int place);
/* The handler is in its place: a host may have put its own there since. */
bool lsi_guard_works(void);

#endif
