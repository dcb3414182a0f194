/* Fuzz target: a pattern below a small tree of files. Linked with --wrap=opendir, so that no pattern walks
 * out of the tree and over the whole machine. */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/err.h"
#include "fuzz.h"
#include "list.h"

#define PATTERN_MAX 128u
#define ANY_DEPTHS_MAX 6u /* "**": a folder is listed for each way to share out its depth among them */

static char tree[128];
static bool serving; /* while an input runs */

static const char *const folders[] = {"sub", "sub/deep", "sub/deep/er", ".hid", "o[d]d"};
static const char *const files[] = {"a.f32", "b.f32", "b,c", "{x,y}", ".dot", "sub/a.f32", "sub/z",
                                    "sub/deep/1", "sub/deep/er/2", ".hid/a", "o[d]d/back\\slash"};

DIR *__wrap_opendir(const char *path);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path) {
  const size_t n = strlen(tree);
  const bool inside = strncmp(path, tree, n) == 0 && (!path[n] || path[n] == '/');
  if (!serving || (inside && !strstr(path, "/.."))) return __real_opendir(path);
  errno = ENOENT;
  return NULL;
}

static void path_of(char *out, size_t cap, const char *name) {
  FUZZ_CHECK(snprintf(out, cap, "%s/%s", tree, name) < (int)cap);
}

static void remove_tree(void) {
  char path[256];
  path_of(path, sizeof path, "sub/loop");
  unlink(path);
  for (size_t i = 0; i < LSI_COUNTOF(files); i++) {
    path_of(path, sizeof path, files[i]);
    unlink(path);
  }
  for (size_t i = LSI_COUNTOF(folders); i--;) {
    path_of(path, sizeof path, folders[i]);
    rmdir(path);
  }
  rmdir(tree);
}

static void make_tree(void) {
  char path[256];
  const char *tmp = getenv("TMPDIR");
  snprintf(tree, sizeof tree, "%.80s/lsio-fuzz-XXXXXX", tmp && *tmp ? tmp : "/tmp");
  FUZZ_CHECK(mkdtemp(tree));
  atexit(remove_tree);
  for (size_t i = 0; i < LSI_COUNTOF(folders); i++) {
    path_of(path, sizeof path, folders[i]);
    FUZZ_CHECK(mkdir(path, 0700) == 0);
  }
  for (size_t i = 0; i < LSI_COUNTOF(files); i++) {
    path_of(path, sizeof path, files[i]);
    FILE *f = fopen(path, "w");
    FUZZ_CHECK(f);
    fclose(f);
  }
  path_of(path, sizeof path, "sub/loop");
  FUZZ_CHECK(symlink("..", path) == 0);
}

struct seen {
  char last[4096];
  unsigned n;
  bool as_it_is; /* what was given is passed on unseen: no pattern, or the name of a file */
  const char *pattern;
};

static int see(void *ctx, const char *path, size_t length, bool regular) {
  FUZZ_CHECK(length == strlen(path));
  struct seen *s = ctx;
  struct stat st;
  FUZZ_CHECK(strlen(path) < sizeof s->last);
  s->as_it_is = strcmp(path, s->pattern) == 0;
  if (!s->as_it_is) {
    FUZZ_CHECK(strcmp(s->last, path) < 0);
    FUZZ_CHECK(stat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)));
    FUZZ_CHECK(!regular || S_ISREG(st.st_mode));
  }
  snprintf(s->last, sizeof s->last, "%s", path);
  s->n++;
  return 0;
}

static unsigned any_depths(const char *pattern) {
  unsigned n = 0;
  for (const char *p = pattern; (p = strstr(p, "**")); p += 2) n++;
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char pattern[sizeof tree + PATTERN_MAX + 2];
  if (size > PATTERN_MAX) return 0;
  if (!*tree) make_tree();
  int at = snprintf(pattern, sizeof pattern, "%s/", tree);
  memcpy(pattern + at, data, size);
  pattern[(size_t)at + size] = 0;
  if (any_depths(pattern) > ANY_DEPTHS_MAX) return 0;
  struct seen s = {.pattern = pattern};
  struct lsi_error error;
  lsi_error_clear(&error);
  serving = true;
  int rc = lsi_store_file.list(NULL, pattern, NULL, see, &s, &error);
  serving = false;
  FUZZ_CHECK((rc != 0) == (error.code != 0) && (!rc || rc == LSIO_ERR_SOURCE));
  FUZZ_CHECK(rc ? s.n == 0 : s.n > 0);
  return 0;
}
