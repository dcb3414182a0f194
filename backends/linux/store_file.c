/* The store of local files: names are paths. A URL of one is turned into its path at once, so that
 * nothing else knows of them. */
#include "linux/store_file.h"

#include <string.h>
#include <strings.h>

#include "ground/mem.h"
#include "list.h"

#define SIGNS "*?[{" /* what makes a pattern of a path */

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int refuse(const char *url, const char *what, const char *remedy, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_SOURCE, 0, "%s", what);
  lsi_error_at(err, url, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_remedy(err, "%s", remedy);
  return LSIO_ERR_SOURCE;
}

/* Decodes what stands behind the host. Of a pattern, what is written as %XX is meant as it is. False: a
 * %XX that is none. `out` has room for twice the text. */
static bool decode(const char *from, bool pattern, char *out) {
  while (*from) {
    char c = *from++;
    if (c == '%') {
      const int high = hex(from[0]), low = high < 0 ? -1 : hex(from[1]);
      c = (char)(high * 16 + low);
      if (low < 0 || !c) return false;
      from += 2;
      if (pattern && strchr(SIGNS "]},\\", c)) *out++ = '\\';
    }
    *out++ = c;
  }
  *out = 0;
  return true;
}

static int from_url(const char *url, bool pattern, char **name, struct lsi_error *err) {
  const char *host = strstr(url, "://") + 3;
  const size_t n = strcspn(host, "/");
  if (!host[n] || (n && !(n == 9 && strncasecmp(host, "localhost", n) == 0)))
    return refuse(url, "a file:// URL names another machine, or no path",
                  "write file:// and the path from the root, as file:///data/x; relative ones go without",
                  err);
  char *path = lsi_reallocarray(NULL, strlen(host + n) + 1, 2);
  if (!path) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a path");
  if (!decode(host + n, pattern && strpbrk(host, SIGNS), path)) {
    lsi_free(path);
    return refuse(url, "a file:// URL has a % that no two hexadecimal digits of a byte follow",
                  "write % as %25, or the plain path without file://", err);
  }
  *name = path;
  return 0;
}

static const char *const schemes[] = {"file", NULL};

static const struct lsi_backend_ops *const backends[] = {
    &lsi_backend_uring,
    &lsi_backend_pread,
    &lsi_backend_mapped,
    NULL,
};

const struct lsi_store lsi_store_file = {
    .version = LSI_STORE_VERSION,
    .name = "file",
    .schemes = schemes,
    .backends = backends,
    .stat_many = lsi_file_stat_many,
    .fault = lsi_file_fault,
    .model = lsi_file_model,
    .changed = lsi_object_changed,
    .list = lsi_file_list,
    .read_all = lsi_file_read_all,
    .read_part = lsi_file_read_part,
    .read_now = lsi_file_read_now,
    .from_url = from_url,
};
