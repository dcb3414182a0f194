#include "api/facts.h"

#include "ground/mem.h"
#include "ground/spin.h"
#include "seams/os.h"
#include "seams/store.h"

#define FRESH_NS 5000000000u
#define MEMORY_DEFAULT (1ull << 30)
#define BACKENDS 16u
#define DEVICES 64u

struct lsi_facts {
  struct lsi_mutex *mutex; /* of all that follows */
  uint64_t asked_ns;
  struct lsi_machine machine;
  struct {
    const struct lsi_backend_ops *ops;
    int rc;
    struct lsi_error error;
  } probes[BACKENDS];
  uint32_t n_probes;
  struct {
    const struct lsi_store *store;
    uint32_t device;
    struct lsi_device_model model;
  } devices[DEVICES];
  uint32_t n_devices;
};

/* Under the mutex, or nobody else knows it. */
static void ask(struct lsi_facts *f) {
  const uint64_t available = LSI_MIN(lsi_os_memory_available(), lsi_os_memory_cgroup_limit());
  f->machine.memory = LSI_MIN(MEMORY_DEFAULT, available / 4);
  f->machine.cpus = lsi_os_cpu_count();
  f->machine.quota = lsi_os_cpu_quota();
  f->machine.spin_ns = f->machine.cpus > 1 && !f->machine.quota ? LSI_SPIN_NS : 0;
  f->n_devices = 0; /* another one may be mounted there */
  uint32_t n = 0;   /* what did not work for want of memory may work now */
  for (uint32_t i = 0; i < f->n_probes; i++)
    if (f->probes[i].rc >= 0) f->probes[n++] = f->probes[i];
  f->n_probes = n;
  f->asked_ns = lsi_os_now_ns();
}

struct lsi_facts *lsi_facts_create(void) {
  struct lsi_facts *f = lsi_calloc(1, sizeof *f);
  if (f) f->mutex = lsi_os_mutex_create();
  if (f && f->mutex) {
    ask(f);
    return f;
  }
  lsi_free(f);
  return NULL;
}

void lsi_facts_destroy(struct lsi_facts *f) {
  if (!f) return;
  lsi_os_mutex_destroy(f->mutex);
  lsi_free(f);
}

struct lsi_machine lsi_facts_machine(struct lsi_facts *f) {
  lsi_os_lock(f->mutex);
  const struct lsi_machine machine = f->machine;
  lsi_os_unlock(f->mutex);
  return machine;
}

int lsi_facts_probe(struct lsi_facts *f, const struct lsi_backend_ops *backend, struct lsi_error *err) {
  lsi_os_lock(f->mutex);
  uint32_t i = 0;
  while (i < f->n_probes && f->probes[i].ops != backend) i++;
  if (i == f->n_probes) {
    struct lsi_error e;
    lsi_error_clear(&e);
    const int rc = backend->probe(&e);
    i = LSI_MIN(i, BACKENDS - 1);
    f->probes[i].ops = backend;
    f->probes[i].rc = rc;
    f->probes[i].error = e;
    f->n_probes = i + 1;
  }
  const int rc = f->probes[i].rc;
  if (rc < 0 && err && !err->code) *err = f->probes[i].error;
  lsi_os_unlock(f->mutex);
  return rc;
}

void lsi_facts_model(struct lsi_facts *f, const struct lsi_store *store, uint32_t device, const char *name,
                     struct lsi_device_model *out) {
  lsi_os_lock(f->mutex);
  uint32_t i = 0;
  while (i < f->n_devices && (f->devices[i].store != store || f->devices[i].device != device)) i++;
  const bool known = i < f->n_devices;
  if (known) *out = f->devices[i].model;
  lsi_os_unlock(f->mutex);
  if (known) return;
  store->model(NULL, device, name, out);
  lsi_os_lock(f->mutex);
  i = LSI_MIN(f->n_devices, DEVICES - 1);
  f->devices[i].store = store;
  f->devices[i].device = device;
  f->devices[i].model = *out;
  f->n_devices = i + 1;
  lsi_os_unlock(f->mutex);
}

/* Under the mutex. */
static bool old(const struct lsi_facts *f) { return lsi_os_now_ns() - f->asked_ns >= FRESH_NS; }

bool lsi_facts_are_old(struct lsi_facts *f) {
  lsi_os_lock(f->mutex);
  const bool are = old(f);
  lsi_os_unlock(f->mutex);
  return are;
}

void lsi_facts_refresh(struct lsi_facts *f) {
  lsi_os_lock(f->mutex);
  if (old(f)) ask(f);
  lsi_os_unlock(f->mutex);
}
