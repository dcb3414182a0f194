#include "job/price.h"

#include <inttypes.h>

#include "ground/units.h"
#include "plan/plan_impl.h"

/* The largest step of the unit that takes the most buffer. */
static uint32_t step_of_largest_unit(const struct lsi_plan *p, const struct lsi_request *r,
                                     bool *shared) {
  uint32_t largest = 0;
  uint64_t most = 0;
  for (uint32_t u = 0; u < p->n_units; u++) {
    uint64_t buffers = 0;
    for (uint32_t e = p->unit_extent[u]; e < p->unit_extent[u + 1]; e++)
      buffers = lsi_sat_add(buffers, lsi_extent_buffer(&p->extents[e]));
    if (buffers > most) most = buffers, largest = u;
  }
  uint32_t step = p->step_order[p->unit_step[largest]];
  uint64_t longest = 0;
  for (uint32_t k = p->unit_step[largest]; k < p->unit_step[largest + 1]; k++) {
    const uint32_t s = p->step_order[k];
    uint64_t bytes = 0;
    for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++)
      bytes = lsi_sat_add(bytes, r->length[c]);
    if (bytes > longest) longest = bytes, step = s;
  }
  *shared = p->unit_step[largest + 1] - p->unit_step[largest] > 1;
  return step;
}

static int too_small(const struct lsi_plan *p, const struct lsi_request *r,
                     const struct lsi_price_request *want, uint64_t need, struct lsi_error *err) {
  bool shared;
  uint32_t step = step_of_largest_unit(p, r, &shared);
  const uint64_t stored = p->unit_bytes_max;
  if (need - stored > stored) step = p->step_largest; /* what it decodes to is what counts */
  const uint32_t c = lsi_request_chunk_begin(r, step);
  int code = lsi_fail(err, LSIO_ERR_LIMIT, 0,
                      "a step needs %" PRIu64 " bytes of memory (%" PRIu64 " stored, %" PRIu64
                      " decoded, %" PRIu64 " output, %" PRIu64
                      " scratch), but the job may use %" PRIu64,
                      need, stored, want->decoded, want->out, want->scratch, want->ceiling);
  lsi_error_at(err, lsi_request_name(r, r->object[c]), r->offset[c], r->length[c],
               r->first_index + step);
  lsi_error_remedy(err, "allow more with --memory %" PRIu64 "MiB%s%s or read smaller chunks",
                   lsi_mebibytes(need), shared ? ", read chunks apart with --merge never" : "",
                   want->pieces || r->cut ? "" : ", take chunks in pieces (`piece`)");
  return code;
}

/* What decoding takes by pieces: the pieces and what the usual codec needs beside them, and a copy in
 * native order. `part`: what comes whole at most, which must fit as well. */
static uint64_t pieces_of(const struct lsi_spec *spec, uint64_t part) {
  uint64_t all = spec->type.big ? part : 0;
  if (spec->codec == LSI_CODEC_NONE) return all;
  const uint64_t pieces = lsi_sat_mul(part, 1 + lsi_codecs[spec->codec]->overhead);
  return lsi_sat_add(all, lsi_sat_add(LSI_PIECE_INNER, pieces));
}

void lsi_price_step(const struct lsi_spec *spec, uint64_t decoded, struct lsi_dtype result, bool sink,
                    bool stream, struct lsi_price_request *want) {
  const uint64_t item = lsi_type_size(result.type);
  uint64_t as_result = lsi_sat_mul(decoded / lsi_type_size(spec->type.type), item);
  want->decoded = spec->codec != LSI_CODEC_NONE || spec->type.big ? decoded : 0;
  want->decoded = lsi_sat_mul(want->decoded, 1 + lsi_codecs[spec->codec]->overhead);
  const uint64_t part = lsi_sat_mul(spec->piece, 2); /* shorter chunks come whole */
  const bool parts = want->pieces = spec->piece && part < decoded;
  if (parts) want->decoded = LSI_MIN(want->decoded, pieces_of(spec, part));
  want->out = want->scratch = 0;
  want->scratch_later = false;
  if (spec->transform) {
    want->scratch = parts ? part : decoded;
    want->scratch_later = spec->transform->takes_scratch;
    if (parts && spec->codec == LSI_CODEC_NONE) /* its result has a fixed place */
      as_result = lsi_sat_mul(part / lsi_type_size(spec->type.type), item);
    if (sink || stream) want->out = spec->has_out_max ? lsi_sat_mul(spec->out_max, item) : as_result;
  } else if (sink && spec->type.type != result.type) {
    want->scratch = as_result; /* where they are converted */
  }
}

uint64_t lsi_price_per_byte(const struct lsi_spec *spec, struct lsi_dtype result, bool sink,
                            bool stream) {
  const uint64_t in = lsi_type_size(spec->type.type), out = lsi_type_size(result.type);
  const uint64_t as_result = (out + in - 1) / in;
  const uint64_t decoded = 1 + lsi_codecs[spec->codec]->overhead;
  if (spec->transform) {
    const uint64_t scratch = spec->transform->takes_scratch ? 0 : 1;
    return decoded + scratch + ((sink || stream) && !spec->has_out_max ? as_result : 0);
  }
  return decoded + (sink && spec->type.type != result.type ? as_result : 0);
}

uint64_t lsi_price_need(const struct lsi_price_request *want, uint64_t stored) {
  return lsi_sat_add(stored, lsi_sat_add(lsi_sat_add(want->decoded, want->out), want->scratch));
}

int lsi_price(const struct lsi_plan *plan, const struct lsi_request *request,
              const struct lsi_price_request *want, struct lsi_price *out, struct lsi_error *err) {
  uint64_t need = lsi_price_need(want, plan->unit_bytes_max);
  struct lsi_price_request least = *want;
  lsi_price_least(&least);
  if (need > want->ceiling) need = lsi_price_need(&least, plan->unit_bytes_max);
  const uint64_t wanted = LSI_MAX(want->workers, 1u);
  *out = (struct lsi_price){.workers = (uint32_t)wanted, .need = need};
  if (need > want->ceiling) {
    if (plan->n_units) return too_small(plan, request, &least, need, err);
  } else if (need) {
    out->workers = (uint32_t)LSI_MIN(wanted, want->ceiling / need);
  }
  out->share = want->ceiling / out->workers;
  return 0;
}
