/* Chunks decoded by pieces. Blocks are decoded one behind the other into a buffer of about a piece and a
 * block; what has been given out is overwritten, but for what later blocks may refer to. */
#include "codec/codec_impl.h"

#define BUFFER_FIRST (1u << 20) /* bytes that a buffer gets at first, if its pieces are as large */

static int too_large(const struct lsi_piece_state *p, uint64_t memory, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_LIMIT, 0,
           "%s takes %llu bytes of memory to decode by pieces of %zu, more than the %zu allowed",
           p->codec->name, (unsigned long long)memory, p->size, p->out->limit);
  lsi_error_remedy(err, "give the job more memory (--memory) or fewer workers (--workers); what it "
                        "takes depends on the size of the blocks or of the window of the data");
  return LSIO_ERR_LIMIT;
}

/* Where blocks are just a piece, nothing is left over. */
uint64_t lsi_pieces_memory(const struct lsi_piece_state *p, size_t unit, size_t history, uint64_t inside) {
  const size_t before = unit == p->size && !p->uneven ? 0 : LSI_MAX(p->size, history);
  return lsi_sat_add(lsi_sat_add(unit, before), inside);
}

int lsi_pieces_choose(const struct lsi_piece_state *p, const struct lsi_outlook *o, struct lsi_error *err) {
  const bool fits = !o->known || o->content <= p->whole;
  if (o->single && fits) return 0;
  if (o->memory <= p->out->limit) return 1;
  return o->single || fits || o->memory == UINT64_MAX ? 0 : too_large(p, o->memory, err);
}

int lsi_pieces_take(struct lsi_piece_state *p, size_t unit, size_t history, uint64_t inside,
                    struct lsi_error *err) {
  p->unit = unit;
  p->history = history;
  p->inside = inside;
  const uint64_t memory = lsi_pieces_memory(p, unit, history, inside);
  return memory > p->out->limit ? too_large(p, memory, err) : 0;
}

int lsi_pieces_room(struct lsi_piece_state *p, struct lsi_error *err) {
  struct lsi_outbuf *out = p->out;
  const size_t left = lsi_pieces_unread(p);
  if (!left && !p->history) p->taken = out->length = 0; /* so the same bytes stay in the cache */
  if (out->capacity - out->length >= p->unit) return 0;
  const size_t keep = LSI_MAX(left, LSI_MIN(out->length, p->history));
  if (keep) memmove(out->data, (char *)out->data + out->length - keep, keep);
  out->length = keep;
  p->taken = keep - left;
  if (out->capacity - out->length >= p->unit) return 0;
  /* More than a block and what must stay only as far as a piece goes: small chunks need less. */
  const uint64_t need = (uint64_t)keep + p->unit, most = out->limit - p->inside;
  const uint64_t full = (uint64_t)p->history + p->size + p->unit;
  if (need > most) return too_large(p, lsi_sat_add(need, p->inside), err);
  const uint64_t some = LSI_MAX(2 * (uint64_t)out->capacity, (uint64_t)BUFFER_FIRST);
  const uint64_t want = LSI_MIN(LSI_MAX(need, LSI_MIN(full, some)), most);
  return lsi_outbuf_need(out, want - out->length, false, err);
}

int lsi_pieces_count(struct lsi_piece_state *p, size_t got, struct lsi_error *err) {
  p->total += got;
  return p->total > p->limit ? lsi_fail_limit(0, p->limit, true, err) : 0;
}

int lsi_pieces_expect(const struct lsi_piece_state *p, uint64_t size, struct lsi_error *err) {
  const uint64_t all = lsi_sat_add(size, p->total);
  return all > p->limit ? lsi_fail_limit(all, p->limit, true, err) : 0;
}

int lsi_pieces_next(struct lsi_decoder *d, const void **data, size_t *length,
                    struct lsi_error *err) {
  struct lsi_piece_state *p = &d->pieces;
  int (*const fill)(struct lsi_decoder *d, struct lsi_error *err) = p->feed ? p->codec->feed : p->codec->fill;
  if (!fill) {
    const size_t left = (size_t)(p->end - p->at);
    *data = p->at;
    *length = LSI_MIN(p->size, left);
    p->at += *length;
    return *length < left;
  }
  while (!p->ended && (lsi_pieces_unread(p) < p->size || p->unsure)) {
    int rc = fill(d, err);
    if (rc) return rc;
  }
  *data = p->out->data ? (char *)p->out->data + p->taken : ""; /* of no content there may be no buffer */
  *length = LSI_MIN(lsi_pieces_unread(p), p->size);
  p->taken += *length;
  return !p->ended || lsi_pieces_unread(p);
}
