/* Scripts of the public API that stay loaded for many jobs. */
#include "api/forked.h"

int lsio_script_load(lsio_context *context, const struct lsio_job_options *options, lsio_script **out,
                     lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsio_job_options o;
  if (!context || !out || !lsi_job_options_read(options, &o) || o.loaded) {
    lsi_fail(&e, LSIO_ERR_USAGE, 0,
             "lsio_script_load needs a context, a script, `out`, and options whose struct_size is set");
    return lsi_error_hand_out(&e, e.code, error);
  }
  if (lsi_refuse_parents(lsi_is_parents(context), "the context", &e) < 0)
    return lsi_error_hand_out(&e, e.code, error);
  const struct lsi_script_source source = {.text = o.script, .length = o.script_length,
                                           .name = o.script_name};
  const int rc = lsi_script_host_ops->keep(context->host, &source, out, &e);
  return rc < 0 ? lsi_error_hand_out(&e, rc, error) : 0;
}

int lsio_script_wait(lsio_script *script, lsio_error **error) {
  struct lsi_error e;
  lsi_error_clear(&e);
  int rc = lsi_refuse_parents(lsi_script_host_ops->is_parents(script), "the loaded script", &e);
  if (rc >= 0) rc = lsi_script_host_ops->open(script, &e);
  return rc < 0 ? lsi_error_hand_out(&e, rc, error) : 0;
}

void lsio_script_release(lsio_script *script) {
  if (script && !lsi_script_host_ops->is_parents(script)) lsi_script_host_ops->release(script);
}
