/* Children of fork that look at something, in a process that may have threads. Needs cmocka. */
#ifndef LSI_TEST_FORK_CHILD_H
#define LSI_TEST_FORK_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* What a child of this moment finds wrong, or how it ended; NULL: nothing, and well. It leaves by exit, as most
 * programs do; one that hangs is killed. */
const char *fork_child(const char *(*look)(void));
/* It must be NULL. */
void fork_child_right(const char *(*look)(void));
bool thread_sleeps(pid_t id); /* of this process. True if it has gone */
/* Until all other threads sleep. Before a fork: under AddressSanitizer a child can't allocate while the lock of its
 * allocator is held by a thread that the child does not have. */
void wait_until_others_sleep(void);
/* In a child: what it is at, to be told if it crashes. */
void fork_child_at(const char *what);

#endif
