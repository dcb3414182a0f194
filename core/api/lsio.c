/* Public entry points that are about no job: versions, the doctor, contexts. */
#include "lsio.h"

#include <stdio.h>
#include <string.h>

#include "api/forked.h"
#include "engine/state/alarms.h"
#include "ground/mem.h"
#include "ground/units.h"
#include "kernels/kernels.h"
#include "memory/ledger.h"
#include "memory/pool.h"
#include "seams/os.h"

#define LSI_STR2(x) #x
#define LSI_STR(x) LSI_STR2(x)

const char *lsio_version(void) {
  return LSI_STR(LSIO_VERSION_MAJOR) "." LSI_STR(LSIO_VERSION_MINOR) "." LSI_STR(
      LSIO_VERSION_PATCH);
}

void lsio_free(void *p) { lsi_free(p); }

const char *lsio_size_format(uint64_t bytes, char *buf, size_t n) {
  snprintf(buf, n, "%s", lsi_show_size(bytes).text);
  return buf;
}

/* ---- doctor ---- */

static void append(char **text, const char *more) {
  size_t a = *text ? strlen(*text) : 0, b = strlen(more);
  char *joined = lsi_realloc(*text, a + b + 1);
  if (!joined) return;
  memcpy(joined + a, more, b + 1);
  *text = joined;
}

static void append_free(char **text, char *more) {
  if (more) append(text, more);
  lsi_free(more);
}

char *lsio_doctor(void) {
  char *text = NULL, line[2048], message[1700];
  snprintf(line, sizeof line, "LSIO %s\nkernels: %s\n", lsio_version(), lsi_kernels_level());
  append(&text, line);
  append_free(&text, lsi_os_doctor());
  for (size_t i = 0; lsi_stores[i]; i++)
    for (const struct lsi_backend_ops *const *b = lsi_stores[i]->backends; *b; b++) {
      struct lsi_error e;
      lsi_error_clear(&e);
      message[0] = 0;
      if ((*b)->probe(&e) < 0) lsi_error_format(&e, message, sizeof message);
      snprintf(line, sizeof line, "backend %s: %s\n", (*b)->name, message[0] ? message : "works");
      append(&text, line);
    }
  if (lsi_script_host_ops->doctor) append_free(&text, lsi_script_host_ops->doctor());
  return text;
}

/* ---- contexts ---- */

static bool is_current(const struct lsi_store *store, struct lsi_error *err) {
  const char *other = store->version == LSI_STORE_VERSION ? NULL : store->name;
  for (const struct lsi_backend_ops *const *b = store->backends; !other && *b; b++)
    if ((*b)->version != LSI_BACKEND_VERSION) other = (*b)->name;
  if (other) lsi_fail(err, LSIO_ERR_BUG, 0, "%s was built for another version of LSIO", other);
  return !other;
}

int lsio_context_create(const struct lsio_context_options *options, lsio_context **out,
                        lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  if (!out || (options && options->struct_size < sizeof options->struct_size)) {
    lsi_fail(&e, LSIO_ERR_USAGE, 0, "lsio_context_create needs `out` and options with struct_size");
    return lsi_error_hand_out(&e, e.code, error);
  }
  /* Callers built with an older header have a shorter struct. */
  struct lsio_context_options o = {0};
  if (options) memcpy(&o, options, LSI_MIN(options->struct_size, sizeof o));
  static const uint32_t known = LSIO_CONTEXT_SIGBUS | LSIO_CONTEXT_NO_ENV | LSIO_CONTEXT_BY_FIRST_JOB;
  if (o.flags & ~known) {
    lsi_fail(&e, LSIO_ERR_USAGE, 0, "unknown flags of a context: 0x%x", (unsigned)o.flags);
    return lsi_error_hand_out(&e, e.code, error);
  }
  for (size_t i = 0; lsi_stores[i]; i++)
    if (!is_current(lsi_stores[i], &e)) return lsi_error_hand_out(&e, e.code, error);
  lsio_context *c = lsi_calloc(1, sizeof *c);
  const bool made = c && lsi_os_forks_watch() == 0 &&
                    (c->mutex = lsi_os_mutex_create()) && (c->pool = lsi_pool_create()) &&
                    (c->ledger = lsi_ledger_create()) && (c->facts = lsi_facts_create()) &&
                    (c->helpers = lsi_helpers_create()) && (c->alarms = lsi_alarms_create()) &&
                     (c->rest = lsi_os_cond_create());
  int rc = made ? lsi_crew_create(c->pool, false, &c->crew) : LSIO_ERR_NOMEM;
  if (rc >= 0) lsi_crew_spin(c->crew, c->spin.ns = lsi_facts_machine(c->facts).spin_ns);
  if (rc >= 0) rc = lsi_context_take_settings(c, &o, &e);
  if (rc >= 0 && o.trace_events) {
    c->trace = lsi_context_make_trace(c, o.trace_events);
    if (!c->trace) rc = lsi_fail(&e, LSIO_ERR_NOMEM, 0, "no memory for a trace");
    lsi_crew_trace(c->crew, c->trace);
  }
  if (c) c->forks = lsi_os_forks;
  if (c) c->log = (struct lsi_log){.take = o.log, .user = o.log_user};
  if (rc >= 0) rc = lsi_script_host_ops->create(&c->log, &c->host, &e);
  if (rc < 0) {
    if (c) {
      lsi_crew_destroy(c->crew);
      lsi_helpers_destroy(c->helpers);
      lsi_alarms_destroy(c->alarms);
      lsi_trace_free(c->trace);
      lsi_facts_destroy(c->facts);
      lsi_ledger_drop(c->ledger);
      lsi_pool_drop(c->pool);
      if (c->rest) lsi_os_cond_destroy(c->rest);
      if (c->mutex) lsi_os_mutex_destroy(c->mutex);
    }
    lsi_free(c);
    return lsi_error_hand_out(&e, rc, error);
  }
  /* Where it can't be had, files are read as without the flag. */
  c->maps = o.flags & LSIO_CONTEXT_SIGBUS && lsi_os_sigbus_install() == 0;
  *out = c;
  return 0;
}

void lsi_context_begin(struct lsio_context *c, uint64_t ceiling) {
  lsi_os_lock(c->mutex);
  c->running++;
  c->ceilings += lsi_mebibytes(ceiling);
  lsi_pool_limit(c->pool, LSI_MIN(lsi_sat_mul(c->ceilings, (uint64_t)1 << 20), c->settings.memory));
  lsi_os_unlock(c->mutex);
}

void lsi_context_end(struct lsio_context *c, uint64_t ceiling) {
  lsi_os_lock(c->mutex);
  c->running--;
  c->ceilings -= lsi_mebibytes(ceiling);
  lsi_os_unlock(c->mutex);
}

void lsio_context_destroy(lsio_context *c) {
  if (!c || lsi_is_parents(c)) return;
  lsi_os_lock(c->mutex);
  while (c->lives) lsi_os_wait(c->rest, c->mutex, -1); /* of jobs that were released while they ran */
  lsi_os_unlock(c->mutex);
  lsi_crew_destroy(c->crew);
  lsi_helpers_destroy(c->helpers);
  lsi_alarms_destroy(c->alarms);
  lsi_script_host_ops->destroy(c->host);
  lsi_trace_free(c->trace);
  lsi_facts_destroy(c->facts);
  lsi_ledger_drop(c->ledger);
  lsi_pool_close(c->pool);
  lsi_pool_drop(c->pool);
  lsi_os_cond_destroy(c->rest);
  lsi_os_mutex_destroy(c->mutex);
  lsi_free(c);
}
