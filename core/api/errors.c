/* Errors as callers get them. */
#include "api/forked.h"
#include "ground/mem.h"

int lsio_error_code(const lsio_error *e) { return e->code; }
int lsio_error_kind(const lsio_error *e) { return lsi_error_kind(e); }
int lsio_error_is_retryable(const lsio_error *e) { return lsi_error_passes(e); }
int lsio_error_os_code(const lsio_error *e) { return e->os_code; }
const char *lsio_error_object(const lsio_error *e) { return e->object; }
const char *lsio_error_file(const lsio_error *e) { return e->file; }
int lsio_error_line(const lsio_error *e) { return e->line; }
uint64_t lsio_error_offset(const lsio_error *e) { return e->offset; }
uint64_t lsio_error_length(const lsio_error *e) {
  return e->offset == LSI_NO_OFFSET ? UINT64_MAX : e->length;
}
uint64_t lsio_error_step(const lsio_error *e) { return e->step; }
char *lsio_error_json(const lsio_error *e) { return lsi_error_json(e); }

/* Handed out where there is no memory for another one: its text is there already, so that nobody writes
 * to it. */
static lsio_error no_memory = {.code = LSIO_ERR_NOMEM,
                               .offset = LSI_NO_OFFSET,
                               .step = LSI_NO_STEP,
                               .text = "out of memory, and none is left to say what for"};

#define FORKED "was made before a fork, by a parent of this process"
#define FORKED_REMEDY "make a context of its own in the child (lsio_context_create), and all else in that"

static const lsio_error forked = {.code = LSIO_ERR_FORKED,
                                  .offset = LSI_NO_OFFSET,
                                  .step = LSI_NO_STEP,
                                  .what = "the job " FORKED,
                                  .remedy = FORKED_REMEDY,
                                  .text = "the job " FORKED "; " FORKED_REMEDY};

const lsio_error *lsi_error_of_parents(void) { return &forked; }

int lsi_refuse_parents(bool is_parents, const char *what, struct lsi_error *err) {
  if (!is_parents) return 0;
  lsi_fail(err, LSIO_ERR_FORKED, 0, "%s " FORKED, what);
  lsi_error_remedy(err, FORKED_REMEDY);
  return LSIO_ERR_FORKED;
}

void lsio_error_free(lsio_error *e) {
  if (e != &no_memory) lsi_free(e);
}

const char *lsio_error_message(const lsio_error *e) {
  struct lsi_error *own = (struct lsi_error *)e; /* objects of this type are never in const memory */
  if (!own->text[0]) lsi_error_format(e, own->text, sizeof own->text);
  return own->text;
}

/* Its message is made now: then nobody writes to it any more, and any threads may read it. */
static lsio_error *copy(const struct lsi_error *e) {
  lsio_error *own = lsi_malloc(sizeof *own);
  if (!own) return &no_memory;
  *own = *e;
  lsio_error_message(own);
  return own;
}

lsio_error *lsio_error_dup(const lsio_error *e) { return e ? copy(e) : NULL; }

int lsi_error_hand_out(const struct lsi_error *e, int code, lsio_error **out) {
  if (!out) return code;
  struct lsi_error bare;
  if (!e->code) {
    lsi_error_clear(&bare);
    bare.code = code;
    e = &bare;
  }
  *out = copy(e);
  return *out == &no_memory ? LSIO_ERR_NOMEM : code;
}
