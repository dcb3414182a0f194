/* Reference: sum, minimum, maximum and count above 0.5 of float32 from standard input, as a program does that
 * reads a buffer of 1 MiB and looks at it; the pipe made as large. */
#include "ref.h"

enum { BUFFER = 1 << 20 };

int main(void) {
  const double start = ref_now();
  char *buffer = ref_alloc(BUFFER);
  struct ref_stats s = ref_stats_zero();
  uint64_t bytes = 0, reads = 0;
  fcntl(STDIN_FILENO, F_SETPIPE_SZ, BUFFER);
  for (;;) {
    size_t n = 0;
    for (ssize_t got; n < BUFFER && (got = read(STDIN_FILENO, buffer + n, BUFFER - n)) != 0; n += (size_t)got)
      if (got < 0) ref_die("standard input: %s", strerror(errno));
    if (!n) break;
    ref_stats_add(&s, (const float *)buffer, n / 4, 0.5f);
    bytes += n;
    reads++;
  }
  ref_print_stats(ref_now() - start, ref_cpu(), reads, bytes, &s);
  return 0;
}
