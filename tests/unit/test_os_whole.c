/* Whole files in memory: what comes slowly or never ends is ended by who watches and looks. No test waits for
 * the time that it needs: what is asked is what ends it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "linux/store_file.h"
#include "seams/os.h"

static char *text;
static size_t n;

static int read_whole(const char *name, struct lsi_whole how, struct lsi_error *err) {
  lsi_error_clear(err);
  if (!how.limit) how.limit = UINT64_MAX;
  const int64_t live = lsi_mem_live();
  const int rc = lsi_file_read_all(NULL, name, &how, &text, &n, err);
  if (rc) assert_int_equal(lsi_mem_live(), live);
  return rc;
}

/* The read end as standard input; what is written to the other one is read. */
static int standard_input(int *saved) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  *saved = dup(0);
  assert_int_equal(dup2(ends[0], 0), 0);
  close(ends[0]);
  return ends[1];
}

static void give_back(int saved) {
  assert_int_equal(dup2(saved, 0), 0);
  close(saved);
}

struct writer {
  struct lsi_watch watch;
  int fd;
  unsigned told, until; /* how often; the last time */
};

/* Each time that nothing has come for a while there is a little more. */
static int tell(void *user, uint64_t listed, uint64_t looked_at) {
  struct writer *w = user;
  (void)looked_at;
  assert_int_equal(listed, 0);
  w->watch.next_ns = 0; /* it wants to be asked every time */
  assert_int_equal(write(w->fd, "line\n", 5), 5);
  return ++w->told >= w->until;
}

static void who_watches_ends_what_comes_slowly(void **state) {
  (void)state;
  struct lsi_error err;
  int saved;
  struct writer w = {.watch = {.tell = tell, .user = &w}, .until = 5};
  w.fd = standard_input(&saved);
  assert_int_equal(read_whole("-", (struct lsi_whole){.watch = &w.watch}, &err), LSIO_ERR_CANCELLED);
  assert_string_equal(err.object, "standard input");
  assert_int_equal(w.told, 5);
  w.watch = (struct lsi_watch){.until_ns = lsi_os_now_ns() + 1};
  assert_int_equal(read_whole("-", (struct lsi_whole){.watch = &w.watch}, &err), LSIO_ERR_LIMIT);
  assert_int_equal(lsi_error_kind(&err), LSIO_KIND_TIMEOUT);
  assert_string_equal(err.object, "standard input");
  close(w.fd);
  give_back(saved);
}

static void nobody_writes_into_a_pipe_with_a_name(void **state) {
  (void)state;
  struct lsi_error err;
  assert_int_equal(mkfifo("fifo", 0600), 0);
  struct lsi_watch watch = {.until_ns = lsi_os_now_ns() + 1};
  assert_int_equal(read_whole("fifo", (struct lsi_whole){.watch = &watch}, &err), LSIO_ERR_LIMIT);
  assert_string_equal(err.object, "fifo");
  unlink("fifo");
}

static void what_never_ends_is_ended(void **state) {
  (void)state;
  struct lsi_error err;
  assert_int_equal(read_whole("/dev/zero", (struct lsi_whole){.limit = 5000000}, &err), LSIO_ERR_LIMIT);
  assert_string_equal(err.object, "/dev/zero");
  struct lsi_watch watch = {.until_ns = lsi_os_now_ns() + 1};
  assert_int_equal(read_whole("/dev/zero", (struct lsi_whole){.watch = &watch}, &err), LSIO_ERR_LIMIT);
  assert_string_equal(err.object, "/dev/zero");
}

static int look(void *user, const char *all, size_t length, struct lsi_error *err) {
  size_t *seen = user;
  (void)err;
  assert_true(length >= *seen && length - *seen <= LSI_WHOLE_STRETCH);
  for (size_t i = *seen; i < length; i++) assert_int_equal((unsigned char)all[i], i % 251);
  *seen = length;
  return 0;
}

static void all_is_looked_at_once(void **state) {
  (void)state;
  struct lsi_error err;
  size_t seen = 0;
  const size_t size = 3 * LSI_WHOLE_STRETCH + 17;
  FILE *f = fopen("file", "w");
  for (size_t i = 0; i < size; i++) fputc((int)(i % 251), f);
  assert_int_equal(fclose(f), 0);
  assert_int_equal(read_whole("file", (struct lsi_whole){.limit = size, .look = look, .user = &seen}, &err), 0);
  assert_int_equal(seen, size);
  assert_int_equal(n, size);
  assert_int_equal(text[n], 0);
  lsi_free(text);
  unlink("file");
}

static void others_may_have_made_it_not_wait(void **state) {
  (void)state;
  struct lsi_error err;
  int saved;
  struct writer w = {.watch = {.tell = tell, .user = &w}, .until = 2};
  w.fd = standard_input(&saved);
  assert_int_equal(fcntl(0, F_SETFL, O_NONBLOCK), 0);
  assert_int_equal(read_whole("-", (struct lsi_whole){.watch = &w.watch}, &err), LSIO_ERR_CANCELLED);
  close(w.fd);
  assert_int_equal(read_whole("-", (struct lsi_whole){.limit = 100}, &err), 0); /* what is left */
  assert_in_range(n, 5, 10);
  lsi_free(text);
  give_back(saved);
}

static void closed_standard_input_is_an_error(void **state) {
  (void)state;
  struct lsi_error err;
  const int saved = dup(0);
  close(0);
  assert_int_equal(read_whole("-", (struct lsi_whole){.limit = 100}, &err), LSIO_ERR_SOURCE);
  assert_string_equal(err.what, "standard input is closed");
  assert_int_equal(open("/dev/null", O_WRONLY), 0);
  assert_int_equal(read_whole("-", (struct lsi_whole){.limit = 100}, &err), LSIO_ERR_SOURCE);
  close(0);
  give_back(saved);
}

static int in_folder(void **state) {
  static char folder[] = "/tmp/lsio-whole-XXXXXX";
  (void)state;
  return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state) {
  (void)state;
  char folder[64];
  return getcwd(folder, sizeof folder) && chdir("/") == 0 ? rmdir(folder) : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_watches_ends_what_comes_slowly),
      cmocka_unit_test(nobody_writes_into_a_pipe_with_a_name),
      cmocka_unit_test(what_never_ends_is_ended),
      cmocka_unit_test(all_is_looked_at_once),
      cmocka_unit_test(others_may_have_made_it_not_wait),
      cmocka_unit_test(closed_standard_input_is_an_error),
  };
  return cmocka_run_group_tests_name("whole", tests, in_folder, leave_folder);
}
