/* Standard input as the backend `stream` reads it: several instances, each with one read, which come back in
 * the order of their offsets, wherever they are waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "linux/stream.h"
#include "list.h"
#include "seams/os.h"

#define INSTANCES 3
#define LONG_NS 20000000000

static const struct lsi_backend_ops *const ops = &lsi_backend_stream;

struct reader {
  struct lsi_backend *backend;
  struct lsi_handle handle;
  struct lsi_op op;
  int wake;
  uint8_t bytes[4096];
};

static struct reader readers[INSTANCES];
static int writes; /* into the pipe that is standard input */
static uint64_t base; /* what had been read before the test */

static void open_reader(struct reader *r) {
  struct lsi_error e;
  lsi_error_clear(&e);
  memset(r, 0, sizeof *r);
  assert_int_equal(lsi_os_bell_create(&r->wake), 0);
  const struct lsi_backend_config c = {.queue_depth = 8, .wake = r->wake, .workers = INSTANCES};
  assert_int_equal(ops->create(&c, &r->backend, &e), 0);
  assert_int_equal(ops->open(r->backend, &(struct lsi_open){.name = "standard input"}, &r->handle, &e), 0);
  assert_true(r->handle.endless && r->handle.info.size == LSI_ENDLESS);
}

static int begin(void **state) {
  (void)state;
  int fd[2];
  assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
  assert_int_equal(dup2(fd[0], STDIN_FILENO), STDIN_FILENO);
  close(fd[0]);
  writes = fd[1];
  base = lsi_stream_position();
  for (size_t i = 0; i < INSTANCES; i++) open_reader(&readers[i]);
  return 0;
}

static int end(void **state) {
  (void)state;
  for (size_t i = 0; i < INSTANCES; i++) {
    struct lsi_object_info now;
    ops->cancel(readers[i].backend); /* of a test that has failed */
    ops->close(readers[i].backend, &readers[i].handle, &now);
    ops->destroy(readers[i].backend);
    lsi_os_bell_destroy(readers[i].wake);
  }
  if (writes >= 0) close(writes);
  assert_true(lsi_mem_live() == 0);
  return 0;
}

static void ask(struct reader *r, uint64_t offset, uint32_t length) {
  r->op = (struct lsi_op){.handle = &r->handle, .offset = base + offset, .buf = r->bytes, .length = length,
                          .kind = LSI_OP_READ, .exact = true};
  struct lsi_op *op = &r->op;
  assert_int_equal(ops->submit(r->backend, &op, 1), 1);
}

static int reap(struct reader *r, int64_t timeout_ns) {
  struct lsi_op *done[4];
  struct lsi_error e;
  lsi_error_clear(&e);
  const int n = ops->reap(r->backend, done, 4, timeout_ns, &e);
  if (n) assert_ptr_equal(done[0], &r->op);
  return n;
}

static void put(uint64_t from, uint64_t n) {
  for (uint64_t i = from; i < from + n; i++) assert_int_equal(write(writes, &(uint8_t){(uint8_t)(i * 7)}, 1), 1);
}

static void has(const struct reader *r, uint64_t from, int64_t n) {
  assert_int_equal(r->op.result, n);
  for (int64_t i = 0; i < n; i++) assert_int_equal(r->bytes[i], (uint8_t)((from + (uint64_t)i) * 7));
}

static void reads_take_their_turns(void **state) {
  (void)state;
  ask(&readers[1], 100, 100);
  ask(&readers[0], 0, 100);
  assert_int_equal(reap(&readers[1], 0), 0);
  assert_int_equal(reap(&readers[0], 0), 0);
  put(0, 60);
  assert_int_equal(reap(&readers[1], 0), 0); /* these bytes are not its */
  assert_int_equal(reap(&readers[0], 0), 0);
  put(60, 90);
  assert_int_equal(reap(&readers[0], LONG_NS), 1);
  has(&readers[0], 0, 100);
  assert_int_equal(reap(&readers[1], 0), 0);
  put(150, 50);
  assert_int_equal(reap(&readers[1], -1), 1);
  has(&readers[1], 100, 100);
  assert_true(lsi_stream_position() == base + 200);
}

static void *wait_for_it(void *arg) {
  struct reader *r = arg;
  int n;
  while (!(n = reap(r, -1))) continue;
  return (void *)(intptr_t)n;
}

static void who_waits_is_woken_by_who_read(void **state) {
  (void)state;
  pthread_t threads[INSTANCES];
  for (size_t i = 0; i < INSTANCES; i++) {
    ask(&readers[i], (INSTANCES - 1 - i) * 10, 10); /* the last one first */
    assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, &readers[i]), 0);
  }
  for (uint64_t at = 0; at < 10 * INSTANCES; at += 5) {
    put(at, 5);
    lsi_os_sleep_ns(1000000);
  }
  for (size_t i = 0; i < INSTANCES; i++) {
    pthread_join(threads[i], NULL);
    has(&readers[i], (INSTANCES - 1 - i) * 10, 10);
  }
}

static void a_bell_ends_a_wait(void **state) {
  (void)state;
  ask(&readers[0], 0, 10);
  ask(&readers[1], 10, 10);
  for (size_t i = 0; i < 2; i++) {
    lsi_os_bell_ring(readers[i].wake);
    assert_int_equal(reap(&readers[i], 0), 0); /* it is for who waits */
    assert_int_equal(poll(&(struct pollfd){.fd = readers[i].wake, .events = POLLIN}, 1, 0), 1);
    assert_int_equal(reap(&readers[i], -1), 0);
  }
  put(0, 20);
  assert_int_equal(reap(&readers[0], -1), 1);
  assert_int_equal(reap(&readers[1], -1), 1);
  has(&readers[1], 10, 10);
}

static void what_is_cancelled_gives_its_turn_back(void **state) {
  (void)state;
  ask(&readers[0], 0, 100);
  put(0, 30);
  assert_int_equal(reap(&readers[0], 0), 0);
  ask(&readers[1], 100, 10); /* waits for bytes that nobody will read */
  assert_int_equal(reap(&readers[1], 0), 0);
  for (size_t i = 0; i < 2; i++) {
    ops->cancel(readers[i].backend);
    assert_int_equal(reap(&readers[i], 0), 1);
    assert_int_equal(readers[i].op.result, LSIO_ERR_CANCELLED);
  }
  assert_true(lsi_stream_position() == base + 30);
  ask(&readers[2], 30, 5); /* another job goes on there */
  put(30, 5);
  assert_int_equal(reap(&readers[2], -1), 1);
  has(&readers[2], 30, 5);
  ops->cancel(readers[2].backend); /* nothing is in flight */
  assert_int_equal(reap(&readers[2], 0), 0);
}

static void bytes_that_another_job_has_read_are_missed(void **state) {
  (void)state;
  ask(&readers[0], 0, 10);
  ask(&readers[1], 0, 10);
  put(0, 10);
  assert_int_equal(reap(&readers[1], -1), 1);
  has(&readers[1], 0, 10);
  assert_int_equal(reap(&readers[0], -1), 1);
  assert_int_equal(readers[0].op.result, LSIO_ERR_SOURCE);
}

/* With a thread that reads, and one that waits, in the parent. */
static void a_child_of_fork_reads_on_its_own(void **state) {
  (void)state;
  ask(&readers[0], 0, 10);
  ask(&readers[1], 10, 10);
  assert_int_equal(reap(&readers[0], 0), 0);
  assert_int_equal(reap(&readers[1], 0), 0);
  assert_int_equal(lsi_os_forks_watch(), 0);
  const pid_t child = fork();
  if (!child) {
    static struct reader r;
    struct lsi_error e;
    lsi_error_clear(&e);
    const struct lsi_backend_config c = {.queue_depth = 8, .wake = -1, .workers = 1};
    if (ops->create(&c, &r.backend, &e)) _exit(2);
    if (ops->open(r.backend, &(struct lsi_open){.name = "standard input"}, &r.handle, &e)) _exit(3);
    r.op = (struct lsi_op){.handle = &r.handle, .offset = base, .buf = r.bytes, .length = 5, .exact = true};
    struct lsi_op *op = &r.op, *done;
    if (ops->submit(r.backend, &op, 1) != 1 || ops->reap(r.backend, &done, 1, LONG_NS, &e) != 1) _exit(4);
    _exit(r.op.result == 5 ? 0 : 5);
  }
  put(0, 5);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  put(0, 20);
  assert_int_equal(reap(&readers[0], -1), 1);
  assert_int_equal(reap(&readers[1], -1), 1);
  has(&readers[1], 10, 10);
}

static void an_error_is_its_own_and_no_end(void **state) {
  (void)state;
  const int folder = open("/", O_RDONLY | O_CLOEXEC);
  assert_int_equal(dup2(folder, STDIN_FILENO), STDIN_FILENO);
  close(folder);
  for (size_t i = 0; i < 2; i++) {
    ask(&readers[i], 0, 10);
    assert_int_equal(reap(&readers[i], -1), 1);
    assert_int_equal(readers[i].op.result, LSIO_ERR_IO);
    assert_int_equal(readers[i].op.os_code, EISDIR);
  }
  assert_true(lsi_stream_position() == base);
}

/* The last test: an end stays one. */
static void the_end_is_everybodys(void **state) {
  (void)state;
  for (size_t i = 0; i < INSTANCES; i++) ask(&readers[i], i * 10, 10);
  put(0, 13);
  close(writes);
  writes = -1;
  assert_int_equal(reap(&readers[2], 0), 0);
  assert_int_equal(reap(&readers[0], -1), 1);
  has(&readers[0], 0, 10);
  assert_int_equal(reap(&readers[1], -1), 1);
  has(&readers[1], 10, 3);
  assert_int_equal(reap(&readers[2], -1), 1);
  assert_int_equal(readers[2].op.result, 0);
  ask(&readers[0], 13, 10);
  assert_int_equal(reap(&readers[0], -1), 1);
  assert_int_equal(readers[0].op.result, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
  const struct CMUnitTest tests[] = {
      TEST(reads_take_their_turns),
      TEST(who_waits_is_woken_by_who_read),
      TEST(a_bell_ends_a_wait),
      TEST(what_is_cancelled_gives_its_turn_back),
      TEST(bytes_that_another_job_has_read_are_missed),
      TEST(a_child_of_fork_reads_on_its_own),
      TEST(an_error_is_its_own_and_no_end),
      TEST(the_end_is_everybodys),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
