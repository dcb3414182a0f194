/* The store `file`: patterns of file names; and output files (core/seams/os.h). */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "confined.h"
#include "ground/mem.h"
#include "list.h"
#include "seams/os.h"

static char dir[64], old_dir[4096];

/* Each test works in a new folder of its own. */
static int set_up(void **state) {
  (void)state;
  snprintf(dir, sizeof dir, "/tmp/lsio-os-XXXXXX");
  return !getcwd(old_dir, sizeof old_dir) || !mkdtemp(dir) || chmod(dir, 0755) < 0 || chdir(dir) < 0;
}

static int tear_down(void **state) {
  (void)state;
  char command[128];
  if (chdir(old_dir) < 0) return 1;
  snprintf(command, sizeof command, "rm -rf -- %s", dir);
  return system(command);
}

static void touch(const char *path, const char *text) {
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(text, f);
  assert_int_equal(fclose(f), 0);
}

/* ---- patterns ---- */

struct collected {
  char text[1024];
};

static int collect(void *ctx, const char *path, size_t length, bool regular) {
  assert_int_equal(length, strlen(path));
  (void)regular;
  struct collected *c = ctx;
  size_t n = strlen(c->text);
  snprintf(c->text + n, sizeof c->text - n, "%s ", path);
  return 0;
}

static void expect_glob(const char *pattern, const char *want) {
  struct collected c = {""};
  struct lsi_error err = {0};
  int rc = lsi_store_file.list(NULL, pattern, NULL, collect, &c, &err);
  if (!want) {
    assert_int_equal(rc, LSIO_ERR_SOURCE);
    assert_string_equal(err.object, pattern);
    return;
  }
  if (rc) fail_msg("%s: %s", pattern, err.what);
  assert_string_equal(c.text, want);
}

static void patterns_expand_in_order(void **state) {
  (void)state;
  assert_int_equal(mkdir("d", 0755) | mkdir("d/e", 0755) | mkdir(".hidden", 0755), 0);
  static const char *const files[] = {"b.bin", "a.bin", "Z.bin", "c.txt", ".dot.bin", "d/x.bin",
                                      "d/e/y.bin", "d/e/z.txt", ".hidden/h.bin", "w[1].bin", "s p.bin"};
  for (size_t i = 0; i < LSI_COUNTOF(files); i++) touch(files[i], "");
  assert_int_equal(symlink("..", "d/e/loop") | symlink("a.bin", "link.bin") | symlink("no", "dead.bin"), 0);
  expect_glob("plain name, not looked at", "plain name, not looked at ");
  expect_glob("?.bin", "Z.bin a.bin b.bin ");
  expect_glob("[ab].bin", "a.bin b.bin ");
  expect_glob("[!ab].bin", "Z.bin ");
  expect_glob("l*.bin", "link.bin ");
  expect_glob(".*.bin", ".dot.bin ");
  expect_glob("d*", NULL); /* a folder and a link to nowhere */
  expect_glob("*/*.bin", "d/x.bin ");
  expect_glob("./d/*/*.bin", "./d/e/y.bin ");
  expect_glob("**/[xyz].*", "d/e/y.bin d/e/z.txt d/x.bin ");
  expect_glob("**/a.bin", "a.bin ");
  expect_glob("d/**", "d/e/y.bin d/e/z.txt d/x.bin ");
  expect_glob("{b,a}.bin", "a.bin b.bin ");
  expect_glob("{a,[a]}.{bin,txt}", "a.bin ");
  expect_glob("d/{x,e/{y,q}}.bin", "d/e/y.bin d/x.bin ");
  expect_glob("w[1].bin", "w[1].bin "); /* is there under this very name */
  expect_glob("w\\[*.bin", "w[1].bin ");
  expect_glob("no*", NULL);
  expect_glob("no/*.bin", NULL);
  expect_glob("{a", "{a ");
  char absolute[128], want[256];
  snprintf(absolute, sizeof absolute, "%s/[ab].bin", dir);
  snprintf(want, sizeof want, "%s/a.bin %s/b.bin ", dir, dir);
  expect_glob(absolute, want);
  expect_glob("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", NULL);
}

static void expect_left_out(const char *pattern, uint64_t links, const char *link, uint64_t alternatives,
                            const char *alternative) {
  struct collected c = {""};
  struct lsi_error err = {0};
  struct lsi_watch watch = {0};
  if (lsi_store_file.list(NULL, pattern, &watch, collect, &c, &err)) fail_msg("%s: %s", pattern, err.what);
  assert_int_equal(watch.links.n, links);
  assert_int_equal(watch.alternatives.n, alternatives);
  assert_string_equal(watch.links.first, link);
  assert_string_equal(watch.alternatives.first, alternative);
}

static void what_patterns_leave_out_is_counted(void **state) {
  (void)state;
  char name[300], path[600];
  memset(name, 'n', sizeof name);
  name[255] = 0;
  assert_int_equal(mkdir("l", 0755) | mkdir("l/m", 0755), 0);
  touch("l/a", "");
  touch("l/m/a", "");
  assert_int_equal(symlink("no", "l/dead1") | symlink("no", "l/dead2") | symlink("dead1", "l/dead3"), 0);
  assert_int_equal(symlink("loop", "l/loop") | symlink("m", "l/folder") | symlink("/nowhere", "l/m/dead"), 0);
  expect_left_out("l/*", 4, "l/dead1", 0, "");
  expect_left_out("l/**", 5, "l/dead1", 0, "");
  expect_left_out("l/**/a", 0, "", 0, "");
  expect_left_out("l/*/{a,dead}", 2, "l/folder/dead", 0, "");
  expect_left_out("{l/a,l/dead1}", 1, "l/dead1", 0, "");
  expect_left_out("l/{a,dead*,*}", 4, "l/dead1", 0, ""); /* each once */
  expect_left_out("l/{a,no}", 0, "", 1, "l/no");
  expect_left_out("l/{x,y?,{a,z}}", 0, "", 3, "l/x");
  expect_left_out("l/{a,m/no*}", 0, "", 1, "l/m/no*");
  expect_left_out("l/a", 0, "", 0, "");
  snprintf(path, sizeof path, "l/m/%s", name);
  assert_int_equal(symlink("no", path), 0);
  snprintf(path, sizeof path, "...%s", name + 255 - 252); /* 255 bytes: its end */
  expect_left_out("l/m/{a,n*}", 1, path, 0, "");
  struct collected c = {""};
  struct lsi_error err = {0};
  assert_int_equal(lsi_store_file.list(NULL, "l/d*", NULL, collect, &c, &err), LSIO_ERR_SOURCE);
  assert_string_equal(err.what, "all that matches a pattern is broken symbolic links (3)");
}

static int list_secret(void *arg) {
  struct lsi_error err = {0};
  struct collected c = {""};
  (void)arg;
  int rc = lsi_store_file.list(NULL, "secret/*", NULL, collect, &c, &err);
  return rc == LSIO_ERR_SOURCE && err.os_code == EACCES ? 0 : 1;
}

static void a_folder_that_cannot_be_listed_is_an_error(void **state) {
  (void)state;
  if (geteuid() != 0) skip();
  assert_int_equal(mkdir("secret", 0700), 0);
  struct confinement c = {.nobody = true};
  assert_int_equal(run_confined(&c, list_secret, NULL), 0);
}

static void urls_of_files_are_paths(void **state) {
  (void)state;
  static const struct {
    const char *url;
    bool pattern;
    const char *path; /* NULL: refused */
  } cases[] = {
      {"file:///a/b", false, "/a/b"}, {"FILE://localhost/a", false, "/a"}, {"file://LOCALHOST/", false, "/"},
      {"file:///a%20b%2fc%C3%a4", false, "/a b/c\xc3\xa4"}, {"file:///a?b#c&d+e", false, "/a?b#c&d+e"},
      {"file:///%25%7e", false, "/%~"}, {"file:///file://x", false, "/file://x"}, {"file:////a", false, "//a"},
      {"file:///a/*.bin", true, "/a/*.bin"}, {"file:///a%2A/*", true, "/a\\*/*"},
      {"file:///%5B%5d%3f%7B%2C%7D%5C%61/[ab]", true, "/\\[\\]\\?\\{\\,\\}\\\\a/[ab]"},
      {"file:///a%2A", true, "/a*"}, {"file:///a%5Cb", true, "/a\\b"}, {"file:///a%20b/{x,y}", true, "/a b/{x,y}"},
      {"file://data/x", false, NULL}, {"file://", false, NULL}, {"file://localhost", false, NULL},
      {"file://127.0.0.1/x", false, NULL}, {"file://localhos/x", false, NULL}, {"file://*/x", true, NULL},
      {"file:///a%", false, NULL}, {"file:///a%4", false, NULL}, {"file:///a%4g", false, NULL},
      {"file:///a%g4", false, NULL}, {"file:///a%00b", false, NULL}, {"file:///a%%41", false, NULL},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    char *path = NULL;
    struct lsi_error err = {0};
    const int rc = lsi_store_file.from_url(cases[i].url, cases[i].pattern, &path, &err);
    if (rc != (cases[i].path ? 0 : LSIO_ERR_SOURCE)) fail_msg("%s: %d", cases[i].url, rc);
    if (rc) {
      assert_string_equal(err.object, cases[i].url);
      assert_true(err.what[0] && err.remedy[0]);
    } else if (strcmp(path, cases[i].path) != 0) {
      fail_msg("%s: %s", cases[i].url, path);
    }
    lsi_free(path);
  }
}

/* ---- patterns held against find(1) ---- */

static int collect_line(void *ctx, const char *path, size_t length, bool regular) {
  assert_int_equal(length, strlen(path));
  (void)regular;
  return fprintf(ctx, "%s\n", path) < 0;
}

/* Names among which '.', '-' and '/' decide the order. */
static void make_tree(void) {
  assert_int_equal(
      system("for a in a a. a-b a.b ab b .h; do for c in '' /a /a.b /a/b /b/.h; do mkdir -p t/$a$c;"
             " for f in a a.x a-x.x ab.x .x 'n l'; do : >\"t/$a$c/$f.f\"; done; done; done;"
             " ln -s a t/to-a; ln -s a/a.f t/a.f; ln -s none t/z.f; mkdir t/d.f; : >t/a/b/plain"),
      0);
}

static void same_as_find(const char *pattern, const char *find) {
  FILE *f = fopen("found", "w");
  struct lsi_error err = {0};
  assert_non_null(f);
  int rc = lsi_store_file.list(NULL, pattern, NULL, collect_line, f, &err);
  assert_int_equal(fclose(f), 0);
  char command[512];
  snprintf(command, sizeof command, "{ find t %s; } | LC_ALL=C sort -u >want; test -s want && cmp want found",
           find);
  if (rc || system(command)) fail_msg("%s: not what find says: %s", pattern, err.what);
}

static void patterns_find_what_find_finds(void **state) {
  (void)state;
  make_tree();
  for (int i = 0; i < 4; i++) { /* threads take turns differently */
    same_as_find("t/**", "-not -path '*/.*' -xtype f");
    same_as_find("t/**/*.f", "-name '[!.]*.f' -not -path '*/.*/*' -xtype f");
    same_as_find("t/**/a*.x.f", "-name 'a*.x.f' -not -path '*/.*/*' -xtype f");
    same_as_find("t/**/.*.f", "-name '.*.f' -not -path '*/.*/*' -xtype f");
    same_as_find("t/**/plain", "-name plain -xtype f");
    same_as_find("t/*/*/*.f", "-mindepth 3 -maxdepth 3 -name '[!.]*.f' -not -path '*/.*/*' -xtype f;"
                              " find t/to-a/ -mindepth 2 -maxdepth 2 -name '[!.]*.f' -not -path '*/.*/*'");
    same_as_find("t/a*/a/b/n ?.f", "-path 't/a*/a/b/n ?.f' -xtype f");
    same_as_find("t/{b,a*}/*.f", "-path 't/[ab]*' -mindepth 2 -maxdepth 2 -name '[!.]*.f' -xtype f");
    same_as_find("t/**/**", "-not -path '*/.*' -xtype f");
    same_as_find("t/**/**//**/**/**/*.f", "-name '[!.]*.f' -not -path '*/.*/*' -xtype f");
    same_as_find("t/**/b/*.f", "-path '*/b/*' -not -path '*/.*' -xtype f"
                               " -regex '.*/b/[^/]*[.]f'");
  }
}

struct asked {
  uint64_t calls, listed;
  int answer;
};

static int ask(void *user, uint64_t listed, uint64_t looked_at) {
  struct asked *a = user;
  assert_int_equal(looked_at, 0);
  a->calls++;
  a->listed = listed;
  return a->answer;
}

static void who_watches_may_stop_the_listing(void **state) {
  (void)state;
  make_tree();
  struct asked a = {.answer = 0};
  struct lsi_watch w = {.tell = ask, .user = &a, .listed_before = 7};
  struct lsi_error err = {0};
  FILE *f = fopen("/dev/null", "w");
  assert_non_null(f);
  assert_int_equal(lsi_store_file.list(NULL, "t/**", &w, collect_line, f, &err), 0);
  assert_true(a.calls >= 1);
  assert_true(a.listed >= 7);
  a = (struct asked){.answer = 1};
  w.next_ns = 0;
  assert_int_equal(lsi_store_file.list(NULL, "t/**", &w, collect_line, f, &err), LSIO_ERR_CANCELLED);
  assert_int_equal(a.calls, 1);
  fclose(f);
}

/* ---- output files ---- */

static int count_files(void) {
  struct collected c = {""};
  struct lsi_error err = {0};
  if (lsi_store_file.list(NULL, "{*,.*}", NULL, collect, &c, &err) < 0) return 0;
  int n = 0;
  for (char *p = c.text; *p; p++) n += *p == ' ';
  return n;
}

static struct lsi_os_file *begin(const char *path, const char *text, bool replace) {
  struct lsi_os_file *f;
  struct lsi_error err = {0};
  assert_int_equal(lsi_os_temp_create(path, replace, &f, &err), 0);
  assert_int_equal(lsi_os_file_reserve(f, 100, &err), 0);
  assert_int_equal(lsi_os_file_write(f, text, strlen(text), 0, &err), 0);
  assert_int_equal(lsi_os_file_truncate(f, strlen(text), &err), 0);
  assert_int_equal(lsi_os_file_sync(f, &err), 0);
  return f;
}

static int publish(struct lsi_os_file *f, bool sync_dir, struct lsi_error *err) {
  return lsi_os_files_publish(&f, 1, sync_dir, err);
}

static void expect_text(const char *path, const char *want) {
  char *text;
  size_t n;
  const struct lsi_whole how = {.limit = 100};
  assert_int_equal(lsi_store_file.read_all(NULL, path, &how, &text, &n, NULL), 0);
  assert_string_equal(text, want);
  lsi_free(text);
}

static void outputs_appear_whole(void **state) {
  (void)state;
  struct lsi_error err = {0};
  mode_t mask = umask(027);
  struct lsi_os_file *f = begin("out", "one", false), *second = begin("out", "two", false);
  umask(mask);
  assert_false(lsi_os_exists("out"));
  assert_true(count_files() <= 2); /* hidden names, where they need them */
  assert_int_equal(publish(f, true, &err), 0);
  expect_text("out", "one");
  struct stat st;
  assert_int_equal(stat("out", &st), 0);
  assert_int_equal(st.st_mode & 0777, 0640);
  /* Taken since, or before: the name keeps its file, and nothing is left behind. */
  for (int i = 0; i < 2; i++) {
    lsi_error_clear(&err);
    assert_int_equal(i ? lsi_os_temp_create("out", false, &f, &err) : publish(second, false, &err),
                     LSIO_ERR_OUTPUT);
    assert_int_equal(err.os_code, EEXIST);
    assert_string_equal(err.object, "out");
    assert_true(err.remedy[0]);
    expect_text("out", "one");
    assert_int_equal(count_files(), 1);
  }
  f = begin("out", "three", true);
  lsi_error_clear(&err);
  assert_int_equal(publish(f, true, &err), 0);
  expect_text("out", "three");
  lsi_os_file_discard(begin("other", "x", false));
  f = begin("other", "x", false);
  lsi_os_files_abandon();
  assert_int_equal(count_files(), 1);
  lsi_os_file_discard(f);
  assert_int_equal(count_files(), 1);
}

static void outputs_go_where_they_were_begun(void **state) {
  (void)state;
  struct lsi_error err = {0};
  assert_int_equal(mkdir("a", 0755), 0);
  struct lsi_os_file *f = begin("a/out", "x", false);
  assert_int_equal(rename("a", "b"), 0);
  assert_int_equal(publish(f, true, &err), 0);
  expect_text("b/out", "x");
  char name[256];
  memset(name, 'n', 255);
  name[255] = 0;
  assert_int_equal(publish(begin(name, "long", false), false, &err), 0);
  expect_text(name, "long");
}

static void outputs_that_cannot_be_say_why(void **state) {
  (void)state;
  struct lsi_os_file *f;
  char long_name[300];
  memset(long_name, 'n', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = 0;
  const struct {
    const char *path;
    int code;
  } bad[] = {{"no/out", ENOENT}, {"/proc/out", ENOENT}, {"dir/", EISDIR}, {"..", EISDIR},
             {long_name, ENAMETOOLONG}};
  for (size_t i = 0; i < LSI_COUNTOF(bad); i++) {
    struct lsi_error err = {0};
    assert_int_equal(lsi_os_temp_create(bad[i].path, i % 2, &f, &err), LSIO_ERR_OUTPUT);
    if (bad[i].path[0] != '/' && bad[i].path[0] != 'd') assert_int_equal(err.os_code, bad[i].code);
    assert_true(err.what[0] && err.object[0]);
  }
}

static int write_too_much(void *arg) {
  (void)arg;
  struct rlimit r = {100000, 100000};
  signal(SIGXFSZ, SIG_IGN);
  if (setrlimit(RLIMIT_FSIZE, &r) < 0) return 1;
  struct lsi_os_file *f;
  struct lsi_error err = {0};
  static char data[200000];
  if (lsi_os_temp_create("out", false, &f, &err) < 0) return 2;
  if (lsi_os_file_write(f, data, sizeof data, 0, &err) != LSIO_ERR_OUTPUT) return 3;
  if (err.os_code != EFBIG || !err.remedy[0]) return 4;
  lsi_os_file_discard(f);
  return lsi_os_exists("out") ? 5 : 0;
}

static void a_full_disk_is_an_error(void **state) {
  (void)state;
  struct confinement c = {0};
  assert_int_equal(run_confined(&c, write_too_much, NULL), 0);
}

int main(void) {
#define T(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(patterns_expand_in_order), T(what_patterns_leave_out_is_counted),
      T(urls_of_files_are_paths), T(patterns_find_what_find_finds),
      T(who_watches_may_stop_the_listing), T(a_folder_that_cannot_be_listed_is_an_error),
      T(outputs_appear_whole), T(outputs_go_where_they_were_begun),
      T(outputs_that_cannot_be_say_why), T(a_full_disk_is_an_error),
  };
  return cmocka_run_group_tests_name("os files", tests, NULL, NULL);
}
