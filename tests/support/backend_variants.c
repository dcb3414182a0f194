#include "backend_variants.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ground/mem.h"
#include "list.h"
#include "seams/os.h"

const uint64_t object_sizes[OBJECTS] = {1, 4095, 4096, 4097, 100000, (3u << 20) + 123, 0};

const struct variant variants[] = {
    {.label = "uring", .backend = "uring"},
    {.label = "uring cold", .backend = "uring", .cold = true},
    {.label = "uring direct", .backend = "uring", .direct = LSI_DIRECT_ALWAYS, .cold = true},
    {.label = "uring buffered cold", .backend = "uring", .direct = LSI_DIRECT_NEVER, .cold = true},
    {.label = "uring unregistered", .backend = "uring", .cold = true, .no_arena = true},
    {.label = "uring tmpfs", .backend = "uring", .tmpfs = true},
    {.label = "uring mapped", .backend = "uring", .maps = true},
    {.label = "pread", .backend = "pread"},
    {.label = "pread cold", .backend = "pread", .cold = true},
    {.label = "pread direct", .backend = "pread", .direct = LSI_DIRECT_ALWAYS, .cold = true},
    {.label = "pread buffered cold", .backend = "pread", .direct = LSI_DIRECT_NEVER, .cold = true},
    {.label = "pread tmpfs", .backend = "pread", .tmpfs = true},
    {.label = "pread mapped", .backend = "pread", .maps = true},
    {.label = "mapped", .backend = "mapped", .maps = true},
    {.label = "mapped cold", .backend = "mapped", .maps = true, .cold = true},
    {.label = "mapped tmpfs", .backend = "mapped", .maps = true, .tmpfs = true},
    {.label = "mapped direct", .backend = "mapped", .direct = LSI_DIRECT_ALWAYS},
    {.label = "mem copying", .backend = "mem"},
    {.label = "mem lending", .backend = "mem", .lends = true},
    {.label = "sim", .backend = "sim"},
};
const unsigned n_variants = sizeof variants / sizeof variants[0];

void stage_guard(void) {
  static struct sigaction ours;
  static bool known;
  if (!known && (lsi_os_sigbus_install() || sigaction(SIGBUS, NULL, &ours))) abort();
  known = true;
  sigaction(SIGBUS, &ours, NULL);
}

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t stage_random(struct stage *s, uint64_t below) {
  return mix(s->rng += 0x9e3779b97f4a7c15u) % below;
}

void stage_op(struct stage *s, struct lsi_op *op, struct lsi_handle *h, unsigned slot,
              uint64_t offset, uint32_t length) {
  char *base = s->arena + slot * SLOT;
  *op = (struct lsi_op){.handle = h, .offset = offset, .length = length, .kind = LSI_OP_READ};
  /* Of a mapped object every other one is read into a buffer. */
  if (h->lends && !(h->mapped && slot % 2)) return;
  memset(base, GUARD, lsi_round_up(length, LSI_ALIGN) + 3 * LSI_ALIGN);
  op->buf = base + LSI_ALIGN + offset % LSI_ALIGN;
}

/* The bytes are the simulator's for everybody, so that one array serves all checks. */
static bool make_data(struct stage *s) {
  s->sim = (struct lsi_sim){.seed = 42, .objects = s->sim_objects, .n_objects = OBJECTS};
  for (uint32_t i = 0; i < OBJECTS; i++) {
    uint64_t size = object_sizes[i];
    s->data[i] = lsi_malloc(size + 1);
    if (!s->data[i]) return false;
    for (uint64_t at = 0; at < size; at++) s->data[i][at] = lsi_sim_byte(&s->sim, i, at);
    snprintf(s->names[i], sizeof s->names[i], "%s%sobject%u", s->dir, s->dir[0] ? "/" : "", i);
    s->mem_objects[i] = (struct lsi_mem_object){s->names[i], s->data[i], size, 7};
    s->sim_objects[i] = (struct lsi_sim_object){.size = size, .real_size = size, .device = 1};
    snprintf(s->sim_objects[i].name, sizeof s->sim_objects[i].name, "%.31s", s->names[i]);
  }
  s->mem = (struct lsi_mem_objects){.objects = s->mem_objects, .n = OBJECTS, .copies = !s->v->lends};
  return true;
}

static bool write_files(struct stage *s) {
  for (int i = 0; i < OBJECTS; i++) {
    int fd = open(s->names[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    bool good = write(fd, s->data[i], object_sizes[i]) == (ssize_t)object_sizes[i];
    if (s->v->cold && (fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))) good = false;
    close(fd);
    if (!good) return false;
  }
  return true;
}

const struct lsi_backend_ops *backend_find(const char *name, const struct lsi_store **store) {
  static const struct lsi_store *const stores[] = {&lsi_store_file, &lsi_store_mem, &lsi_store_sim};
  for (size_t i = 0; i < LSI_COUNTOF(stores); i++)
    for (const struct lsi_backend_ops *const *b = stores[i]->backends; *b; b++) {
      if (strcmp((*b)->name, name) != 0) continue;
      if (store) *store = stores[i];
      return *b;
    }
  return NULL;
}

int stage_open(struct stage *s, const struct variant *v) {
  memset(s, 0, sizeof *s);
  s->v = v;
  s->rng = 20;
  stage_guard();
  s->ops = backend_find(v->backend, &s->store);
  if (!s->ops) return 1;
  if (s->ops->probe(&s->err) < 0) return 77;
  s->files = s->store == &lsi_store_file;
  if (s->files) {
    snprintf(s->dir, sizeof s->dir, "%s/lsio-test-XXXXXX", v->tmpfs ? "/dev/shm" : "/tmp");
    if (!mkdtemp(s->dir) || chmod(s->dir, 0755) < 0) return 1;
  }
  if (!make_data(s) || (s->files && !write_files(s))) return 1;
  s->arena = lsi_os_map(ARENA_BYTES);
  if (!s->arena) return 1;
  s->config = (struct lsi_backend_config){.queue_depth = DEPTH, .open_max = 16, .workers = 1, .wake = -1};
  if (!v->no_arena) s->config.arena = s->arena, s->config.arena_size = ARENA_BYTES;
  s->config.user = strcmp(v->backend, "sim") == 0 ? (const void *)&s->sim : &s->mem;
  int rc = s->ops->create(&s->config, &s->b, &s->err);
  /* The user's other processes may hold what little memory may be locked. */
  if (rc == LSIO_ERR_UNSUPPORTED && s->err.os_code == ENOMEM) return 77;
  return rc < 0 ? 1 : 0;
}

void stage_close(struct stage *s) {
  if (s->b) s->ops->destroy(s->b);
  if (s->arena) lsi_os_unmap(s->arena, ARENA_BYTES);
  for (int i = 0; i < OBJECTS; i++) {
    if (s->dir[0] && s->names[i][0]) unlink(s->names[i]);
    lsi_free(s->data[i]);
  }
  if (s->dir[0]) rmdir(s->dir);
}
