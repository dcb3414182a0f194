/* Fuzz target: a list of paths and URLs of files, one a line or each ended by a NUL, read and sorted. */
#include <sys/mman.h>
#include <unistd.h>

#include "ground/err.h"
#include "fuzz.h"
#include "ground/mem.h"
#include "host/paths.h"

static size_t names_in(const uint8_t *data, size_t size, bool nul) {
  size_t n = 0, at = !nul && size >= 3 && !memcmp(data, "\xEF\xBB\xBF", 3) ? 3 : 0; /* a byte order mark is no name */
  while (at < size) {
    const uint8_t *stop = memchr(data + at, nul ? 0 : '\n', size - at);
    const size_t end = stop ? (size_t)(stop - data) : size;
    n += end > at && (nul || end != at + 1 || data[at] != '\r');
    at = end + 1;
  }
  return n;
}

static void read_list(const char *name, const uint8_t *data, size_t size, bool nul) {
  struct lsi_error error;
  lsi_error_clear(&error);
  struct lsi_paths *p = lsi_paths_create(NULL);
  FUZZ_CHECK(p);
  int rc = lsi_paths_list(p, name, nul, &error);
  FUZZ_CHECK((rc != 0) == (error.code != 0));
  /* A URL that is none ends the list, be it before or behind a NUL. */
  const bool wrong_url = rc == LSIO_ERR_SOURCE && size && memmem(data, size, "://", 3);
  FUZZ_CHECK(wrong_url || rc == (!nul && size && memchr(data, 0, size) ? LSIO_ERR_USAGE : 0));
  FUZZ_CHECK(rc || lsi_paths_count(p) == names_in(data, size, nul));
  FUZZ_CHECK(lsi_paths_sort(p, &error) == 0);
  const char **sorted = lsi_paths_array(p);
  FUZZ_CHECK(sorted);
  for (size_t i = 0; i < lsi_paths_count(p); i++)
    FUZZ_CHECK(*sorted[i] && (!i || strcmp(sorted[i - 1], sorted[i]) <= 0));
  lsi_free(sorted);
  lsi_paths_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char name[64];
  int fd = memfd_create("paths", MFD_CLOEXEC);
  FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  read_list(name, data, size, false);
  read_list(name, data, size, true);
  close(fd);
  return 0;
}
