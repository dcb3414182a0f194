/* One suite for every store: what core/seams/store.h promises of each hook. The same objects lie behind all. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "list.h"
#include "test/mem_objects.h"
#include "test/sim.h"

#define OBJECTS 40u
#define LONGEST 5000u /* bytes of an object */
#define MANY 6000u    /* names looked at at once: enough for several threads */

struct variant {
  const char *label;
  const struct lsi_store *store;
  bool lists; /* and reads whole objects */
};

static const struct variant variants[] = {
    {"file", &lsi_store_file, true},
    {"mem", &lsi_store_mem, true},
    {"sim", &lsi_store_sim, false},
};

static struct stage {
  const struct variant *v;
  const struct lsi_store *store;
  const void *user;
  char dir[64];
  char names[OBJECTS][96]; /* not in order */
  uint64_t sizes[OBJECTS];
  char data[OBJECTS][LONGEST];
  struct lsi_mem_object mem_objects[OBJECTS];
  struct lsi_mem_objects mem;
  struct lsi_sim_object sim_objects[OBJECTS];
  struct lsi_sim sim;
  struct lsi_error err;
} stage;

static void make_object(struct stage *s, uint32_t i) {
  const uint32_t shuffled = i * 7 % OBJECTS;
  s->sizes[i] = i == 3 ? 0 : 1 + i * 997u % LONGEST;
  for (uint64_t at = 0; at < s->sizes[i]; at++) s->data[i][at] = (char)(i * 31 + at * 7);
  snprintf(s->names[i], sizeof s->names[i], "%s%s%s%02u", s->dir, s->dir[0] ? "/" : "",
           i % 2 ? "odd" : "even", shuffled);
  s->mem_objects[i] = (struct lsi_mem_object){s->names[i], s->data[i], s->sizes[i], 7};
  s->sim_objects[i] = (struct lsi_sim_object){.size = s->sizes[i], .real_size = s->sizes[i], .device = 1};
  snprintf(s->sim_objects[i].name, sizeof s->sim_objects[i].name, "%.31s", s->names[i]);
}

static bool write_file(const char *name, const char *data, size_t n) {
  FILE *f = fopen(name, "w");
  if (!f) return false;
  const bool good = fwrite(data, 1, n, f) == n;
  return fclose(f) == 0 && good;
}

static int set_up(void **state) {
  struct stage *s = &stage;
  memset(s, 0, sizeof *s);
  s->v = *state;
  s->store = s->v->store;
  *state = s;
  const bool files = s->store == &lsi_store_file;
  snprintf(s->dir, sizeof s->dir, "%s", files ? "/tmp/lsio-store-XXXXXX" : "");
  if (files && !mkdtemp(s->dir)) return 1;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    make_object(s, i);
    if (files && !write_file(s->names[i], s->data[i], s->sizes[i])) return 1;
  }
  s->mem = (struct lsi_mem_objects){.objects = s->mem_objects, .n = OBJECTS};
  s->sim = (struct lsi_sim){.seed = 1, .objects = s->sim_objects, .n_objects = OBJECTS};
  s->user = files ? NULL : s->store == &lsi_store_mem ? (const void *)&s->mem : &s->sim;
  return 0;
}

static int tear_down(void **state) {
  struct stage *s = *state;
  for (uint32_t i = 0; s->dir[0] && i < OBJECTS; i++) unlink(s->names[i]);
  return s->dir[0] ? rmdir(s->dir) : 0;
}

/* A name in the place of the objects'. */
static void name_of(const struct stage *s, const char *rest, char *out, size_t n) {
  snprintf(out, n, "%s%s%s", s->dir, s->dir[0] ? "/" : "", rest);
}

static struct lsi_object_info info_of(struct stage *s, uint32_t i) {
  const char *name = s->names[i];
  struct lsi_object_info info;
  memset(&info, 0xa5, sizeof info); /* all of it is told */
  assert_int_equal(s->store->stat_many(s->user, &name, 1, &info, NULL, false, &s->err), 0);
  return info;
}

/* ---- the table ---- */

static void the_table_is_whole(void **state) {
  struct stage *s = *state;
  const struct lsi_store *t = s->store;
  assert_int_equal(t->version, LSI_STORE_VERSION);
  assert_string_equal(t->name, s->v->label);
  assert_true(t->stat_many && t->model && t->changed && t->list && t->read_all);
  assert_non_null(t->backends[0]);
  for (const struct lsi_backend_ops *const *b = t->backends; *b; b++)
    assert_int_equal((*b)->version, LSI_BACKEND_VERSION);
  for (const char *const *p = t->schemes; p && *p; p++)
    for (const char *c = *p; *c; c++) assert_true((*c >= 'a' && *c <= 'z') || (c > *p && strchr("0123456789+-.", *c)));
}

static void objects_lie_on_devices_with_a_model(void **state) {
  struct stage *s = *state;
  const struct lsi_object_info info = info_of(s, 0);
  struct lsi_device_model m;
  memset(&m, 0, sizeof m);
  s->store->model(s->user, info.device, s->names[0], &m);
  assert_true(m.bandwidth > 0 && m.ops_per_s > 0 && m.op_max > 0 && m.merge_max > 0 && m.align && m.concurrency);
  memset(&m, 0, sizeof m);
  s->store->model(s->user, UINT32_MAX, "/nowhere/at all", &m);
  assert_true(m.bandwidth > 0 && m.ops_per_s > 0 && m.op_max > 0 && m.merge_max > 0 && m.align && m.concurrency);
}

/* ---- what objects are ---- */

static void many_are_looked_at(void **state) {
  struct stage *s = *state;
  static const char *names[MANY];
  static struct lsi_object_info infos[MANY];
  memset(infos, 0xa5, sizeof infos);
  for (uint32_t i = 0; i < MANY; i++) names[i] = s->names[i % OBJECTS];
  assert_int_equal(s->store->stat_many(s->user, names, MANY, infos, NULL, false, &s->err), 0);
  for (uint32_t i = 0; i < MANY; i++) {
    assert_int_equal(infos[i].size, s->sizes[i % OBJECTS]);
    assert_int_equal(infos[i].known, LSI_KNOWN_SIZE | LSI_KNOWN_VERSION);
    assert_int_equal(infos[i].store, 0);
    assert_int_equal(infos[i].device, infos[0].device);
    assert_memory_equal(&infos[i], &infos[i % OBJECTS], sizeof infos[i]);
  }
  for (uint32_t i = 1; i < OBJECTS; i++) /* of different objects with the same size, too */
    assert_memory_not_equal(infos[i].version, infos[0].version, sizeof infos[i].version);
  assert_int_equal(s->store->stat_many(s->user, names, 0, infos, NULL, false, &s->err), 0);
}

static void the_first_that_is_missing_is_named(void **state) {
  struct stage *s = *state;
  static const char *names[MANY];
  static struct lsi_object_info infos[MANY];
  for (int round = 0; round < 20; round++) {
    for (uint32_t i = 0; i < MANY; i++) names[i] = s->names[i % OBJECTS];
    names[3001] = "/nowhere/first";
    names[3002] = names[MANY - 1] = "/nowhere/later";
    lsi_error_clear(&s->err);
    assert_int_equal(s->store->stat_many(s->user, names, MANY, infos, NULL, false, &s->err), LSIO_ERR_SOURCE);
    assert_string_equal(s->err.object, "/nowhere/first");
    assert_true(s->err.what[0]);
  }
}

static void with_faults_all_are_looked_at(void **state) {
  struct stage *s = *state;
  static const char *names[MANY];
  static struct lsi_object_info infos[MANY];
  struct lsi_error alone = {0};
  for (uint32_t i = 0; i < MANY; i++) names[i] = i % 7 == 3 ? "/nowhere/at all" : s->names[i % OBJECTS];
  assert_int_equal(s->store->stat_many(s->user, names, MANY, infos, NULL, true, &s->err), 0);
  for (uint32_t i = 0; i < MANY; i++)
    assert_true(i % 7 == 3 ? lsi_object_is_missing(&infos[i]) : infos[i].size == s->sizes[i % OBJECTS]);
  assert_int_equal(s->store->stat_many(s->user, &names[3], 1, infos, NULL, false, &alone), LSIO_ERR_SOURCE);
  assert_int_equal(s->store->fault(&infos[10], names[10], &s->err), LSIO_ERR_SOURCE);
  assert_string_equal(s->err.what, alone.what);
  assert_int_equal(lsi_error_kind(&s->err), LSIO_KIND_NOT_FOUND);
}

struct asked {
  uint64_t calls, listed, looked_at;
  int answer;
};

static int ask(void *user, uint64_t listed, uint64_t looked_at) {
  struct asked *a = user;
  a->calls++;
  a->listed = listed;
  a->looked_at = looked_at;
  return a->answer;
}

/* So few that this thread looks at some itself, and so is asked, whatever other threads there are. */
static void who_watches_may_stop_the_look(void **state) {
  struct stage *s = *state;
  const char *names[OBJECTS];
  struct lsi_object_info infos[OBJECTS];
  for (uint32_t i = 0; i < OBJECTS; i++) names[i] = s->names[i];
  struct asked a = {.answer = 0};
  struct lsi_watch w = {.tell = ask, .user = &a, .listed_before = 9};
  assert_int_equal(s->store->stat_many(s->user, names, OBJECTS, infos, &w, false, &s->err), 0);
  assert_true(a.calls >= 1);
  assert_int_equal(a.listed, OBJECTS + 9);
  assert_true(a.looked_at <= OBJECTS);
  a = (struct asked){.answer = 1};
  w.next_ns = 0;
  assert_int_equal(s->store->stat_many(s->user, names, OBJECTS, infos, &w, false, &s->err), LSIO_ERR_CANCELLED);
  assert_int_equal(a.calls, 1);
}

/* ---- what has changed ---- */

static void a_change_is_put_into_words(void **state) {
  struct stage *s = *state;
  const struct lsi_object_info then = info_of(s, 5);
  assert_int_equal(s->store->changed(&then, &then, &s->err), 0);
  assert_int_equal(s->err.code, 0);
  struct lsi_object_info ways[6];
  for (size_t i = 0; i < LSI_COUNTOF(ways); i++) ways[i] = then;
  ways[0].size--;
  ways[1].size++;
  ways[2].version[0]++;
  ways[3].version[1]++;
  ways[4].device++;
  ways[5].known = LSI_KNOWN_SIZE;
  for (size_t i = 0; i < LSI_COUNTOF(ways); i++) {
    lsi_error_clear(&s->err);
    assert_int_equal(s->store->changed(&then, &ways[i], &s->err), LSIO_ERR_SOURCE);
    assert_int_equal(s->err.code, LSIO_ERR_SOURCE);
    assert_true(s->err.what[0] && s->err.remedy[0]);
  }
  ways[0] = then; /* who keeps it says which store it is of */
  ways[0].store = 3;
  assert_int_equal(s->store->changed(&ways[0], &then, NULL), 0);
}

static void what_was_not_known_has_not_changed(void **state) {
  struct stage *s = *state;
  struct lsi_object_info now = info_of(s, 5), then = now;
  then.known = LSI_KNOWN_SIZE;
  memset(then.version, 0, sizeof then.version);
  assert_int_equal(s->store->changed(&then, &now, &s->err), 0);
  then.size++;
  assert_int_equal(s->store->changed(&then, &now, &s->err), LSIO_ERR_SOURCE);
  then.known = 0;
  assert_int_equal(s->store->changed(&then, &now, NULL), 0);
}

/* The size is the same. */
static void another_content_is_another_version(void **state) {
  struct stage *s = *state;
  if (!s->v->lists) skip(); /* the simulator's objects change while they are open */
  const struct lsi_object_info then = info_of(s, 5);
  char other[LONGEST];
  memset(other, 'x', sizeof other);
  if (s->dir[0]) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 12345, .tv_nsec = 1}};
    assert_true(write_file(s->names[5], other, s->sizes[5]));
    assert_int_equal(utimensat(AT_FDCWD, s->names[5], times, 0), 0);
  } else {
    s->mem_objects[5].data = other;
  }
  const struct lsi_object_info now = info_of(s, 5);
  assert_int_equal(now.size, then.size);
  assert_int_equal(s->store->changed(&then, &now, NULL), LSIO_ERR_SOURCE);
}

/* ---- lists ---- */

struct listed {
  char names[OBJECTS + 1][96];
  uint32_t n;
  uint32_t stop_at; /* 0: never */
};

static int note(void *ctx, const char *name, size_t length, bool regular) {
  (void)regular;
  struct listed *l = ctx;
  assert_int_equal(length, strlen(name));
  assert_true(l->n < LSI_COUNTOF(l->names));
  snprintf(l->names[l->n++], sizeof l->names[0], "%s", name);
  return l->n == l->stop_at ? 4711 : 0;
}

static int list(struct stage *s, const char *rest, struct lsi_watch *w, struct listed *l) {
  char pattern[128];
  name_of(s, rest, pattern, sizeof pattern);
  lsi_error_clear(&s->err);
  return s->store->list(s->user, pattern, w, note, l, &s->err);
}

static void a_name_is_passed_on_unseen(void **state) {
  struct stage *s = *state;
  static const char *const names[] = {"odd01", "not there", "s p a c e s"};
  for (size_t i = 0; i < LSI_COUNTOF(names); i++) {
    struct listed l = {.n = 0};
    char want[96];
    name_of(s, names[i], want, sizeof want);
    assert_int_equal(list(s, names[i], NULL, &l), 0);
    assert_int_equal(l.n, 1);
    assert_string_equal(l.names[0], want);
  }
}

static void patterns_expand_in_order(void **state) {
  struct stage *s = *state;
  struct listed l = {.n = 0};
  if (!s->v->lists) {
    assert_int_equal(list(s, "*", NULL, &l), LSIO_ERR_UNSUPPORTED);
    assert_string_equal(s->err.object, "*");
    return;
  }
  static const struct {
    const char *pattern, *begin;
    uint32_t n;
  } cases[] = {{"*", "", OBJECTS}, {"odd*", "odd", OBJECTS / 2}, {"odd1*", "odd1", 5}, {"ev*5", "even", 0},
               {"e*4", "even", 4}, {"*39", "", 1}};
  for (size_t k = 0; k < LSI_COUNTOF(cases); k++) {
    l = (struct listed){.n = 0};
    char begin[96];
    name_of(s, cases[k].begin, begin, sizeof begin);
    assert_int_equal(list(s, cases[k].pattern, NULL, &l), cases[k].n ? 0 : LSIO_ERR_SOURCE);
    assert_int_equal(l.n, cases[k].n);
    for (uint32_t i = 0; i < l.n; i++) {
      assert_int_equal(strncmp(l.names[i], begin, strlen(begin)), 0);
      if (i) assert_true(strcmp(l.names[i - 1], l.names[i]) < 0);
      const char *name = l.names[i];
      struct lsi_object_info info;
      assert_int_equal(s->store->stat_many(s->user, &name, 1, &info, NULL, false, &s->err), 0);
    }
  }
}

static void a_pattern_without_matches_is_named(void **state) {
  struct stage *s = *state;
  if (!s->v->lists) skip();
  struct listed l = {.n = 0};
  char want[96];
  name_of(s, "no*", want, sizeof want);
  assert_int_equal(list(s, "no*", NULL, &l), LSIO_ERR_SOURCE);
  assert_int_equal(l.n, 0);
  assert_string_equal(s->err.object, want);
  assert_true(s->err.what[0]);
}

static void a_list_ends_where_it_is_told_to(void **state) {
  struct stage *s = *state;
  struct listed l = {.stop_at = 1};
  assert_int_equal(list(s, "odd01", NULL, &l), 4711);
  if (!s->v->lists) return;
  l = (struct listed){.stop_at = 3};
  assert_int_equal(list(s, "*", NULL, &l), 4711);
  assert_int_equal(l.n, 3);
  struct asked a = {.answer = 1};
  struct lsi_watch w = {.tell = ask, .user = &a};
  l = (struct listed){.n = 0};
  assert_int_equal(list(s, "*", &w, &l), LSIO_ERR_CANCELLED);
  assert_int_equal(a.calls, 1);
}

/* ---- URLs ---- */

/* Whatever it makes of them, the names are its own, and lead to the objects. */
static void urls_become_names(void **state) {
  struct stage *s = *state;
  if (!s->store->from_url) skip();
  for (const char *const *scheme = s->store->schemes; *scheme; scheme++) {
    char url[160], *name = NULL;
    for (uint32_t i = 0; i < OBJECTS; i++) {
      snprintf(url, sizeof url, "%s://%s", *scheme, s->names[i]);
      assert_int_equal(s->store->from_url(url, false, &name, &s->err), 0);
      struct lsi_object_info info, want = info_of(s, i);
      assert_int_equal(s->store->stat_many(s->user, (const char *const *)&name, 1, &info, NULL, false, &s->err), 0);
      assert_memory_equal(&info, &want, sizeof info);
      lsi_free(name);
    }
    struct listed l = {.n = 0};
    snprintf(url, sizeof url, "%s://%s/odd*", *scheme, s->dir);
    assert_int_equal(s->store->from_url(url, true, &name, &s->err), 0);
    assert_int_equal(s->store->list(s->user, name, NULL, note, &l, &s->err), 0);
    assert_int_equal(l.n, OBJECTS / 2);
    lsi_free(name);
    const int64_t live = lsi_mem_live();
    lsi_mem_fail_nth(1, false);
    assert_int_equal(s->store->from_url(url, true, &name, &s->err), LSIO_ERR_NOMEM);
    lsi_mem_fail_nth(0, false);
    assert_int_equal(lsi_mem_live(), live);
  }
}

/* ---- whole objects and parts ---- */
#define WHOLE(most) (&(struct lsi_whole){.limit = (most)})

static void an_object_is_read_whole(void **state) {
  struct stage *s = *state;
  char *text = NULL;
  size_t n = 0;
  if (!s->v->lists) {
    assert_int_equal(s->store->read_all(s->user, s->names[0], WHOLE(10), &text, &n, &s->err), LSIO_ERR_UNSUPPORTED);
    assert_string_equal(s->err.object, s->names[0]);
    return;
  }
  for (uint32_t i = 0; i < OBJECTS; i++) {
    assert_int_equal(s->store->read_all(s->user, s->names[i], WHOLE(s->sizes[i]), &text, &n, &s->err), 0);
    assert_int_equal(n, s->sizes[i]);
    assert_memory_equal(text, s->data[i], n);
    assert_int_equal(text[n], 0);
    lsi_free(text);
  }
  assert_int_equal(s->store->read_all(s->user, s->names[5], WHOLE(s->sizes[5] - 1), &text, &n, &s->err), LSIO_ERR_LIMIT);
  assert_string_equal(s->err.object, s->names[5]);
  lsi_error_clear(&s->err);
  assert_int_equal(s->store->read_all(s->user, "/nowhere/x", WHOLE(10), &text, &n, &s->err), LSIO_ERR_SOURCE);
  assert_string_equal(s->err.object, "/nowhere/x");
}

static void parts_are_read_where_they_are(void **state) {
  struct stage *s = *state;
  if (!s->store->read_part) skip();
  const uint64_t size = s->sizes[7];
  const struct {
    uint64_t offset;
    size_t want, got;
  } cases[] = {{0, 10, 10}, {size / 2, 100, 100}, {size - 3, 100, 3}, {size, 10, 0}, {size + 1, 10, 0},
               {UINT64_MAX, 10, 0}, {0, LONGEST + 1, size}, {5, 0, 0}};
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    char buf[LONGEST + 2];
    memset(buf, 0x5a, sizeof buf);
    assert_int_equal(s->store->read_part(s->user, s->names[7], cases[i].offset, buf, cases[i].want), cases[i].got);
    if (cases[i].got) assert_memory_equal(buf, s->data[7] + cases[i].offset, cases[i].got);
    assert_int_equal(buf[cases[i].got], 0x5a);
  }
  char byte;
  assert_int_equal(s->store->read_part(s->user, "/nowhere/x", 0, &byte, 1), 0);
}

/* Every allocation fails once: an error or success, and nothing is left over. */
static void lack_of_memory_is_survived(void **state) {
  struct stage *s = *state;
  if (!s->v->lists) skip();
  const int64_t live = lsi_mem_live();
  for (uint64_t nth = 1;; nth++) {
    struct listed l = {.n = 0};
    char *text = NULL;
    size_t n = 0;
    const uint64_t calls = lsi_mem_calls();
    lsi_mem_fail_nth(nth, false);
    int rc = list(s, "odd*", NULL, &l);
    if (rc == 0) rc = s->store->read_all(s->user, s->names[1], WHOLE(LONGEST), &text, &n, &s->err);
    lsi_mem_fail_nth(0, false);
    assert_true(rc == 0 || rc == LSIO_ERR_NOMEM);
    if (rc == 0) assert_int_equal(n, s->sizes[1]);
    if (rc == 0) lsi_free(text);
    assert_int_equal(lsi_mem_live(), live);
    if (lsi_mem_calls() - calls < nth) break;
  }
}

/* ---- all on all ---- */

static const struct {
  const char *name;
  void (*fn)(void **state);
} tests[] = {
#define T(fn) {#fn, fn}
    T(the_table_is_whole),
    T(objects_lie_on_devices_with_a_model),
    T(many_are_looked_at),
    T(the_first_that_is_missing_is_named),
    T(with_faults_all_are_looked_at),
    T(who_watches_may_stop_the_look),
    T(a_change_is_put_into_words),
    T(what_was_not_known_has_not_changed),
    T(another_content_is_another_version),
    T(a_name_is_passed_on_unseen),
    T(patterns_expand_in_order),
    T(a_pattern_without_matches_is_named),
    T(a_list_ends_where_it_is_told_to),
    T(urls_become_names),
    T(an_object_is_read_whole),
    T(parts_are_read_where_they_are),
    T(lack_of_memory_is_survived),
#undef T
};

int main(void) {
  static struct CMUnitTest all[LSI_COUNTOF(tests) * LSI_COUNTOF(variants)];
  static char names[LSI_COUNTOF(all)][96];
  size_t n = 0;
  for (size_t v = 0; v < LSI_COUNTOF(variants); v++)
    for (size_t t = 0; t < LSI_COUNTOF(tests); t++, n++) {
      snprintf(names[n], sizeof names[n], "%s: %s", variants[v].label, tests[t].name);
      all[n] = (struct CMUnitTest){names[n], tests[t].fn, set_up, tear_down, (void *)(uintptr_t)&variants[v]};
    }
  return _cmocka_run_group_tests("stores", all, n, NULL, NULL);
}
