/* What the tests of file sinks share: a directory of their own, reading back what was written. */
#ifndef LSI_TEST_SINK_SUPPORT_H
#define LSI_TEST_SINK_SUPPORT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "seams/os.h"
#include "sink/sink.h"

static char dir[64];
static char path[128];
static struct lsi_error err;
static struct lsi_sink_spec spec;
static int64_t live_before;

static inline int setup(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-sink-XXXXXX");
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/out.npy", dir);
  memset(&spec, 0, sizeof spec);
  spec.kind = LSI_SINK_NPY;
  spec.durability = LSI_DURABLE_BATCH;
  lsi_error_clear(&err);
  live_before = lsi_mem_live();
  return 0;
}

/* Files in the test's directory, hidden ones too. */
static inline int files(void) {
  int n = 0;
  DIR *d = opendir(dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));)
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) n++;
  closedir(d);
  return n;
}

static inline int teardown(void **state) {
  (void)state;
  assert_int_equal(lsi_mem_live(), live_before);
  DIR *d = opendir(dir);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    char name[400];
    snprintf(name, sizeof name, "%s/%s", dir, e->d_name);
    if (e->d_name[0] != '.' || strlen(e->d_name) > 2) unlink(name);
  }
  closedir(d);
  return rmdir(dir);
}

static inline struct lsi_sink_config config_for(enum lsi_type type, uint32_t n_steps) {
  return (struct lsi_sink_config){.spec = &spec, .path = path, .type = {.type = (uint8_t)type},
                                  .n_steps = n_steps, .window_bytes = 1 << 16};
}

static inline char *slurp(const char *name, size_t *length) {
  FILE *f = fopen(name, "rb");
  if (!f) fail_msg("%s is not there", name);
  fseek(f, 0, SEEK_END);
  *length = (size_t)ftell(f);
  rewind(f);
  char *text = calloc(1, *length + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, *length, f), *length);
  fclose(f);
  return text;
}

/* The elements of an npy file after its header has been compared. */
static inline char *npy_data(const char *name, const char *descr, const char *shape, size_t *bytes) {
  size_t length;
  char *text = slurp(name, &length);
  assert_true(length >= 4096);
  assert_memory_equal(text, "\x93NUMPY", 6);
  char expected[128];
  snprintf(expected, sizeof expected, "'descr': '%s'", descr);
  if (!strstr(text + 10, expected)) fail_msg("no %s in %.100s", expected, text + 10);
  const char *at = strstr(text + 10, "'shape': (");
  assert_non_null(at);
  /* Compared without blanks: "(2, 3)" and "(2,3)" are the same. */
  char got[64];
  size_t n = 0;
  for (at += 9; *at && n < sizeof got - 1; at++) {
    if (*at != ' ') got[n++] = *at;
    if (*at == ')') break;
  }
  got[n] = 0;
  if (n > 2 && got[n - 2] == ',' && strchr(got, ',') != got + n - 2) {
    got[n - 2] = ')'; /* "(2,3,)" */
    got[n - 1] = 0;
  }
  assert_string_equal(got, shape);
  *bytes = length - 4096;
  memmove(text, text + 4096, *bytes);
  return text;
}

static inline int open_code(const struct lsi_sink_config *c) {
  struct lsi_sink *s;
  lsi_error_clear(&err);
  int rc = lsi_sink_open(c, &s, &err);
  if (!rc) lsi_sink_discard(s);
  return rc;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
