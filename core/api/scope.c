/* Settings of contexts, and what they leave of their jobs'. */
#include <inttypes.h>
#include <string.h>

#include "api/context.h"
#include "ground/units.h"
#include "memory/ledger.h"
#include "seams/os.h"

/* ---- a context's ---- */

/* From here on its settings do not change. Under the context's mutex, or nobody else knows it yet. */
static void settle(struct lsio_context *c) {
  const struct lsi_machine machine = lsi_facts_machine(c->facts);
  if (!c->settings.workers) c->settings.workers = machine.cpus;
  if (!c->settings.memory) c->settings.memory = machine.memory;
  lsi_crew_limit(c->crew, c->settings.workers);
  lsi_ledger_limit(c->ledger, c->settings.memory);
  c->settled = true;
}

int lsi_context_take_settings(struct lsio_context *c, const struct lsio_context_options *o,
                              struct lsi_error *err) {
  lsi_settings_init(&c->settings);
  c->settings.scope = LSI_SCOPE_CONTEXT;
  for (size_t i = 0; i < o->n_settings; i++) {
    if (!o->settings || !o->settings[i])
      return lsi_fail(err, LSIO_ERR_USAGE, 0, "settings[%zu] is NULL", i);
    const int rc = lsi_settings_set_pair(&c->settings, o->settings[i], LSI_FROM_CALLER, err);
    if (rc < 0) return rc;
  }
  if (o->flags & LSIO_CONTEXT_BY_FIRST_JOB) return 0;
  const int rc = o->flags & LSIO_CONTEXT_NO_ENV ? 0 : lsi_settings_from_env(&c->settings, err);
  if (rc == 0) settle(c);
  c->reads_now = rc == 0 && (!c->settings.backend[0] || strcmp(c->settings.backend, "auto") == 0);
  return rc;
}

/* ---- a job's ---- */

/* Says it once a context: a program may have thousands of such jobs. `e` tells what the job wants, and what
 * to do. */
static void warn(struct lsio_job *job, unsigned what, struct lsi_error *e) {
  struct lsio_context *c = job->context;
  lsi_os_lock(c->mutex);
  const bool told = c->told & what;
  c->told |= what;
  lsi_os_unlock(c->mutex);
  if (told) return;
  char text[2048];
  lsi_error_at(e, job->script_name, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  lsi_error_format(e, text, sizeof text);
  lsi_log_warn(&c->log, job->number, text);
}

static const char *pin_word(uint8_t pin) { return pin == LSI_NEVER ? "never" : "auto"; }

static void tell_beyond(struct lsio_job *job, unsigned beyond, const struct lsi_settings *wanted) {
  const struct lsi_settings *has = &job->context->settings;
  for (unsigned what = 1; what <= beyond; what <<= 1) {
    struct lsi_error e;
    lsi_error_clear(&e);
    switch (beyond & what) {
    case LSI_BEYOND_WORKERS:
      lsi_fail(&e, LSIO_ERR_USAGE, 0, "a job wants %" PRIu32 " workers, but its context has %" PRIu32
               " and starts no more", wanted->workers, has->workers);
      lsi_error_remedy(&e, "make the context with workers=%" PRIu32, wanted->workers);
      break;
    case LSI_BEYOND_MEMORY:
      lsi_fail(&e, LSIO_ERR_USAGE, 0, "a job wants %s of memory, but all jobs of its context have %s",
               lsi_show_size(wanted->memory).text, lsi_show_size(has->memory).text);
      lsi_error_remedy(&e, "make the context with memory=%" PRIu64 "MiB",
                       lsi_mebibytes(wanted->memory));
      break;
    case LSI_BEYOND_BACKEND:
      lsi_fail(&e, LSIO_ERR_USAGE, 0, "a job wants backend=%s, but its context was made with backend=%s",
               wanted->backend, has->backend);
      lsi_error_remedy(&e, "make the context without a backend, and each job takes its own");
      break;
    case LSI_BEYOND_PIN:
      lsi_fail(&e, LSIO_ERR_USAGE, 0, "a job wants pin=%s, but its context was made with pin=%s",
               pin_word(wanted->pin), pin_word(has->pin));
      lsi_error_remedy(&e, "make the context with pin=%s", pin_word(wanted->pin));
      break;
    default: continue;
    }
    warn(job, what, &e);
  }
}

void lsi_job_settle(struct lsio_job *job) {
  struct lsio_context *c = job->context;
  const struct lsi_settings wanted = job->settings;
  lsi_os_lock(c->mutex);
  if (!c->settled) {
    lsi_settings_adopt(&c->settings, &wanted);
    settle(c);
  }
  lsi_os_unlock(c->mutex);
  const unsigned beyond = lsi_settings_within(&job->settings, &c->settings);
  if (beyond) tell_beyond(job, beyond, &wanted);
}

bool lsi_job_pins(struct lsio_job *job, bool own_cpus) {
  struct lsio_context *c = job->context;
  const struct lsi_machine machine = lsi_facts_machine(c->facts);
  /* Two jobs with one worker each must not meet on the first CPU. */
  const bool wants = own_cpus && job->settings.pin != LSI_NEVER;
  const bool pins = wants && !machine.quota && job->workers >= machine.cpus;
  lsi_os_lock(c->mutex);
  const bool pinned = c->pinned;
  c->pinned |= pins;
  lsi_os_unlock(c->mutex);
  if (pinned && job->settings.pin == LSI_NEVER) {
    struct lsi_error e;
    lsi_error_clear(&e);
    lsi_fail(&e, LSIO_ERR_USAGE, 0, "a job wants pin=never, but an earlier one has tied the threads of its "
                                    "context to CPUs");
    lsi_error_remedy(&e, "make the context with pin=never");
    warn(job, LSI_BEYOND_PIN, &e);
  }
  return pins;
}
