/* Runs a test function in a child process with fewer rights, so that the test program itself stays
 * as it is. For tests of what happens under limits. */
#ifndef LSI_TEST_CONFINED_H
#define LSI_TEST_CONFINED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

struct confinement {
  bool no_io_uring;       /* seccomp: io_uring_setup answers EPERM */
  bool nobody;            /* become uid 65534; needs root, else the child runs as it is */
  rlim_t open_files;      /* at most; 0 = as it is */
  rlim_t locked_memory;   /* at most; 0 = as it is */
};

/* fn returns 0 when all is well; any other number (1..99) says where it was not. The child's result is
 * returned: fn's, 100 when the confinement could not be set up, 200 + signal when it died. */
int run_confined(const struct confinement *c, int (*fn)(void *arg), void *arg);

#endif
