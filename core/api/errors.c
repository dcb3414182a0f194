/* Errors as callers get them. */
#include "api/context.h"
#include "ground/mem.h"

int lsio_error_code(const lsio_error *e) { return e->code; }
int lsio_error_os_code(const lsio_error *e) { return e->os_code; }
const char *lsio_error_object(const lsio_error *e) { return e->object; }
uint64_t lsio_error_offset(const lsio_error *e) { return e->offset; }
uint64_t lsio_error_step(const lsio_error *e) { return e->step; }
char *lsio_error_json(const lsio_error *e) { return lsi_error_json(e); }

/* Handed out where there is no memory for another one: its text is there already, so that nobody writes
 * to it. */
static lsio_error no_memory = {.code = LSIO_ERR_NOMEM,
                               .offset = LSI_NO_OFFSET,
                               .step = LSI_NO_STEP,
                               .text = "out of memory, and none is left to say what for"};

void lsio_error_free(lsio_error *e) {
  if (e != &no_memory) lsi_free(e);
}

const char *lsio_error_message(const lsio_error *e) {
  struct lsi_error *own = (struct lsi_error *)e; /* objects of this type are never in const memory */
  if (!own->text[0]) lsi_error_format(e, own->text, sizeof own->text);
  return own->text;
}

int lsi_error_hand_out(const struct lsi_error *e, int code, lsio_error **out) {
  if (!out) return code;
  *out = lsi_malloc(sizeof **out);
  if (!*out) {
    *out = &no_memory;
    return LSIO_ERR_NOMEM;
  }
  if (e->code) {
    **out = *e;
  } else {
    lsi_error_clear(*out);
    (*out)->code = code;
  }
  return code;
}
