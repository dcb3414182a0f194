/* What a context knows of its machine, asked once and not for every job: CPUs, memory that is free, what is
 * behind a device, which backends work. Asking costs 300 us. Thread-safe. */
#ifndef LSI_FACTS_H
#define LSI_FACTS_H

#include "seams/backend.h"
#include "seams/model.h"

struct lsi_facts;
struct lsi_store;

/* NULL: no memory. */
struct lsi_facts *lsi_facts_create(void);
void lsi_facts_destroy(struct lsi_facts *f); /* NULL is fine */

struct lsi_machine {
  unsigned cpus;   /* that this process may use */
  bool quota;      /* a cgroup limits CPU time */
  uint32_t spin_ns; /* that a thread may wait awake: none where that takes the CPU from who is waited for */
  uint64_t memory; /* bytes that a job may have where nobody says */
};
struct lsi_machine lsi_facts_machine(struct lsi_facts *f);
/* As the backend's `probe`. */
int lsi_facts_probe(struct lsi_facts *f, const struct lsi_backend_ops *backend, struct lsi_error *err);
/* As the store's `model`. */
void lsi_facts_model(struct lsi_facts *f, const struct lsi_store *store, uint32_t device, const char *name,
                     struct lsi_device_model *out);
/* Asks again for what may have changed, if that is long enough ago: of who has time for it. */
void lsi_facts_refresh(struct lsi_facts *f);
bool lsi_facts_are_old(struct lsi_facts *f); /* they would be asked anew */

#endif
