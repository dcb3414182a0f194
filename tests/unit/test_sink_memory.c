/* A sink in memory: places, and what it knows of pages that are there or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "seams/os.h"
#include "sink/sink.h"

#define MIB ((size_t)1 << 20)
#define BYTES (64 * MIB)

static struct lsi_error err;
static struct lsi_sink_spec spec = {.kind = LSI_SINK_MEMORY};

static struct lsi_sink *open_on(void *memory, uint64_t bytes, uint64_t total) {
  struct lsi_sink_config c = {.spec = &spec, .memory = memory, .memory_bytes = bytes,
                              .type = {.type = LSI_F32}, .n_steps = 1, .total = total};
  struct lsi_sink *s = NULL;
  lsi_error_clear(&err);
  lsi_sink_open(&c, &s, &err);
  return s;
}

static void places_and_counts(void **state) {
  (void)state;
  float out[8] = {0}, two[2] = {1, 2};
  assert_null(open_on(out, sizeof out, 7));
  assert_int_equal(err.code, LSIO_ERR_BUG);
  struct lsi_sink *s = open_on(out, sizeof out, 8);
  assert_non_null(s);
  assert_ptr_equal(lsi_sink_at(s, 3), &out[3]);
  assert_int_equal(lsi_sink_place(s, 3, two, 2, &err), 0);
  out[6] = 9;
  assert_int_equal(lsi_sink_place(s, 6, &out[6], 1, &err), 0); /* it is there already */
  assert_int_equal(lsi_sink_place(s, 7, two, 2, &err), LSIO_ERR_BUG);
  const float want[8] = {0, 0, 0, 1, 2, 0, 9, 0};
  assert_memory_equal(out, want, sizeof want);
  assert_int_equal(lsi_sink_bytes_written(s), 12);
  assert_false(lsi_sink_nontemporal(s, out, sizeof out)); /* small ones stay in the cache */
  lsi_error_clear(&err);
  assert_int_equal(lsi_sink_publish(s, &err), 0);
}

/* New memory is made ready by 2 MiB, each once, and only as far ahead as asked for. */
static void new_memory_is_populated(void **state) {
  (void)state;
  char *map = mmap(NULL, BYTES + 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(map != MAP_FAILED);
  char *memory = (char *)lsi_round_up((uintptr_t)map, 2 * MIB) + 1000; /* no page of it is its own alone */
  struct lsi_sink *s = open_on(memory, BYTES, BYTES / 4);
  assert_non_null(s);
  assert_true(lsi_sink_untouched(s));
  memory[5 * MIB] = 'x';
  assert_false(lsi_sink_nontemporal(s, memory, MIB));
  int blocks = 0;
  while (lsi_sink_populate(s, 0, 16 * MIB)) blocks++;
  assert_int_equal(blocks, 9); /* 16 MiB that begin within a block */
  assert_true(lsi_sink_nontemporal(s, memory, 16 * MIB));
  assert_false(lsi_sink_nontemporal(s, memory + 17 * MIB, 3 * MIB));
  assert_false(lsi_sink_nontemporal(s, memory, 1000));
  assert_true(lsi_os_populated(memory, 16 * MIB));
  assert_false(lsi_os_populated(memory, 32 * MIB));
  assert_int_equal(memory[5 * MIB], 'x');
  while (lsi_sink_populate(s, BYTES / 4 - 1, UINT64_MAX)) blocks++; /* the last element's block */
  assert_int_equal(blocks, 10);
  while (lsi_sink_populate(s, 0, UINT64_MAX)) blocks++;
  assert_int_equal(blocks, 33);
  assert_false(lsi_sink_populate(s, BYTES / 4, 1));
  assert_true(lsi_sink_nontemporal(s, memory, BYTES));
  assert_true(lsi_os_populated(memory, BYTES));
  lsi_sink_discard(s);

  s = open_on(memory, BYTES, BYTES / 4); /* now it is old memory */
  assert_false(lsi_sink_untouched(s));
  assert_false(lsi_sink_populate(s, 0, UINT64_MAX));
  assert_true(lsi_sink_nontemporal(s, memory, BYTES));
  static char data[MIB];
  memset(data, 'd', sizeof data);
  assert_int_equal(lsi_sink_place(s, 1, data, MIB / 4, &err), 0);
  assert_memory_equal(memory + 4, data, MIB);
  assert_true(memory[3] == 0 && memory[MIB + 4] == 0);
  lsi_sink_discard(s);
  munmap(map, BYTES + 4 * MIB);
}

/* Memory that can't be had: no step may count on it, and nobody tries for ever. */
static void what_cannot_be_populated(void **state) {
  (void)state;
  char *map = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(map != MAP_FAILED);
  struct lsi_sink *s = open_on(map, BYTES, BYTES / 4);
  assert_false(lsi_sink_populate(s, 0, BYTES));
  assert_false(lsi_sink_nontemporal(s, map, MIB));
  lsi_sink_discard(s);
  munmap(map, BYTES);
  int64_t live = lsi_mem_live();
  map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint64_t nth = 1; nth <= 2; nth++) {
    lsi_mem_fail_nth(nth, false);
    assert_null(open_on(map, BYTES, BYTES / 4));
    lsi_mem_fail_nth(0, false);
    assert_int_equal(err.code, LSIO_ERR_NOMEM);
    assert_int_equal(lsi_mem_live(), live);
  }
  munmap(map, BYTES);
}

/* Arrays of LSIO's: on 2 MiB, with huge pages advised. */
static void maps_are_for_huge_pages(void **state) {
  (void)state;
  char *p = lsi_os_map(BYTES), line[256];
  assert_int_equal((uintptr_t)p % (2 * MIB), 0);
  assert_true(lsi_os_populate(p, BYTES));
  FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
  const bool enabled = f && fgets(line, sizeof line, f) && !strstr(line, "[never]");
  if (f) fclose(f);
  bool here = false, advised = false;
  unsigned long huge_kb = 0, from, to;
  f = fopen("/proc/self/smaps", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) {
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2) here = from <= (uintptr_t)p && (uintptr_t)p < to;
    if (here && strncmp(line, "VmFlags:", 8) == 0) advised = strstr(line, " hg") != NULL;
    if (here) sscanf(line, "AnonHugePages: %lu kB", &huge_kb);
  }
  fclose(f);
  if (enabled) assert_true(advised);
  if (enabled && !huge_kb) fprintf(stderr, "no huge page could be had\n");
  lsi_os_unmap(p, BYTES);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(places_and_counts), cmocka_unit_test(new_memory_is_populated),
      cmocka_unit_test(what_cannot_be_populated), cmocka_unit_test(maps_are_for_huge_pages)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
