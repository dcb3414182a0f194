/* What all decoders stand on: codecs' names, room in the output, and how frames begin. */
#include <string.h>

#include "codec/codec_impl.h"

static const char *const names[] = {[LSI_CODEC_NONE] = "none",
                                    [LSI_CODEC_LZ4] = "lz4",
                                    [LSI_CODEC_LZ4_BLOCK] = "lz4_block",
                                    [LSI_CODEC_ZSTD] = "zstd",
                                    [LSI_CODEC_BLOSC] = "blosc"};

bool lsi_codec_parse(const char *name, enum lsi_codec *out) {
  for (size_t i = 0; i < LSI_COUNTOF(names); i++) {
    if (strcmp(name, names[i])) continue;
    *out = (enum lsi_codec)i;
    return true;
  }
  return false;
}

const char *lsi_codec_name(enum lsi_codec codec) {
  return (size_t)codec < LSI_COUNTOF(names) ? names[codec] : "?";
}

unsigned lsi_codec_overhead(enum lsi_codec codec) { return codec == LSI_CODEC_BLOSC ? 2 : 0; }

/* ---- room ---- */

int lsi_fail_limit(uint64_t size, uint64_t limit, bool pieces, struct lsi_error *err) {
  if (size)
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "a chunk states that it decodes to %llu bytes, but %llu are allowed",
             (unsigned long long)size, (unsigned long long)limit);
  lsi_fail(err, LSIO_ERR_LIMIT, 0, "a chunk decodes to more than the %llu bytes allowed",
           (unsigned long long)limit); /* the first one counts */
  lsi_error_remedy(err, "raise `decoded` if it is set, else give the job more memory (--memory) or "
                        "fewer workers (--workers)%s",
                   pieces ? "" : ", or take such chunks in pieces (`piece`)");
  return LSIO_ERR_LIMIT;
}

int lsi_outbuf_need(struct lsi_outbuf *out, uint64_t more, bool doubling, struct lsi_error *err) {
  uint64_t need;
  if (lsi_add_overflow((uint64_t)out->length, more, &need)) need = UINT64_MAX;
  if (need > out->limit) return lsi_fail_limit(doubling ? 0 : need, out->limit, out->pieces, err);
  if (need <= out->capacity) return 0;
  if (!out->grow) {
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "a chunk decodes to more than the %zu bytes of its buffer",
             out->capacity);
    return LSIO_ERR_LIMIT;
  }
  uint64_t twice = out->capacity > out->limit / 2 ? out->limit : 2 * (uint64_t)out->capacity;
  int rc = out->grow(out, (size_t)(doubling ? LSI_MAX(need, twice) : need));
  if (rc < 0)
    return lsi_fail(err, rc, 0, rc == LSIO_ERR_NOMEM ? "no memory to decode into"
                                                     : "no room to decode into");
  if (out->capacity < need) return lsi_fail(err, LSIO_ERR_BUG, 0, "a buffer did not grow");
  return 0;
}

/* lz4 and zstd have the same skippable frames. If one stands at src, its whole length is returned;
 * 0 = none; -1 = one that is cut short. */
static int64_t skippable_frame(const uint8_t *src, size_t len) {
  if (len < 4 || (lsi_le32(src) & 0xFFFFFFF0u) != 0x184D2A50u) return 0;
  if (len < 8) return -1;
  uint64_t whole = 8 + (uint64_t)lsi_le32(src + 4);
  return whole <= len ? (int64_t)whole : -1;
}

static const struct {
  enum lsi_codec codec; /* NONE: of a format that no codec reads */
  uint8_t n;
  uint8_t bytes[4];
  const char *name;
} beginnings[] = {
    {LSI_CODEC_LZ4, 4, {0x04, 0x22, 0x4D, 0x18}, "lz4"},
    {LSI_CODEC_ZSTD, 4, {0x28, 0xB5, 0x2F, 0xFD}, "zstd"},
    {LSI_CODEC_BLOSC, 2, {0x02, 0x01}, "blosc"},
    {LSI_CODEC_NONE, 4, {0x02, 0x21, 0x4C, 0x18}, "the legacy format of lz4"}, /* `lz4 -l` */
    {LSI_CODEC_NONE, 4, {0xFD, 0x2F, 0xB5, 0x1E}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x22, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x23, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x24, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x25, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x26, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x27, 0xB5, 0x2F, 0xFD}, "zstd before 0.8"},
    {LSI_CODEC_NONE, 4, {0x37, 0xA4, 0x30, 0xEC}, "a dictionary of zstd"},
    {LSI_CODEC_NONE, 3, {0x1F, 0x8B, 0x08}, "gzip"},
    {LSI_CODEC_NONE, 2, {0x78, 0x01}, "zlib"},
    {LSI_CODEC_NONE, 2, {0x78, 0x5E}, "zlib"},
    {LSI_CODEC_NONE, 2, {0x78, 0x9C}, "zlib"},
    {LSI_CODEC_NONE, 2, {0x78, 0xDA}, "zlib"},
    {LSI_CODEC_NONE, 4, {0xFF, 0x06, 0x00, 0x00}, "snappy"},
    {LSI_CODEC_NONE, 4, {0x50, 0x4B, 0x03, 0x04}, "zip"},
    {LSI_CODEC_NONE, 4, {0xFD, 0x37, 0x7A, 0x58}, "xz"},
    {LSI_CODEC_NONE, 3, {0x42, 0x5A, 0x68}, "bzip2"},
    {LSI_CODEC_NONE, 1, {0x03}, "blosc2"},
    {LSI_CODEC_NONE, 1, {0x04}, "blosc2"},
    {LSI_CODEC_NONE, 1, {0x05}, "blosc2"},
};

/* One byte says too little, but where blosc was expected; a block of lz4 may begin with any two. */
static unsigned bytes_that_tell(enum lsi_codec codec) {
  return codec == LSI_CODEC_BLOSC ? 1 : codec == LSI_CODEC_LZ4_BLOCK ? 3 : 2;
}

void lsi_say_what_it_is(enum lsi_codec codec, const uint8_t *src, size_t len, struct lsi_error *err) {
  for (size_t i = 0; i < LSI_COUNTOF(beginnings); i++) {
    if (beginnings[i].n > len || memcmp(src, beginnings[i].bytes, beginnings[i].n) ||
        beginnings[i].codec == codec || beginnings[i].n < bytes_that_tell(codec))
      continue;
    if (beginnings[i].codec)
      lsi_error_remedy(err, "it looks like %s: write codec = \"%s\"", beginnings[i].name,
                       beginnings[i].name);
    else
      lsi_error_remedy(err, "it looks like %s, which is not supported: write it again with "
                            "one of lz4, zstd or blosc", beginnings[i].name);
    return;
  }
}

int lsi_fail_begin(enum lsi_codec codec, const uint8_t *src, size_t len, struct lsi_error *err) {
  lsi_fail(err, LSIO_ERR_CORRUPT, 0, "a chunk does not begin with %s %s frame",
           codec == LSI_CODEC_LZ4 ? "an" : "a", lsi_codec_name(codec));
  lsi_say_what_it_is(codec, src, len, err);
  lsi_error_remedy(err, "check `codec`; what is not compressed is read without it");
  return LSIO_ERR_CORRUPT;
}

int lsi_fail_dictionary(enum lsi_codec codec, uint32_t id, struct lsi_error *err) {
  const char *name = lsi_codec_name(codec);
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0,
           "%s %s frame needs the dictionary with ID %u, which LSIO can't be given yet",
           codec == LSI_CODEC_LZ4 ? "an" : "a", name, id);
  lsi_error_remedy(err, "decompress it with its dictionary (`%s -d -D FILE`) and write it again without "
                        "a dictionary; --on-error skip leaves such steps out", name);
  return LSIO_ERR_UNSUPPORTED;
}

int lsi_next_frame(enum lsi_codec codec, const uint8_t *begin, const uint8_t **at,
                   const uint8_t *end, struct lsi_error *err) {
  /* Of zstd's versions only the last one's frames: each older one would take a decoder of its own. */
  const uint32_t magic = codec == LSI_CODEC_LZ4 ? 0x184D2204u : 0xFD2FB528u;
  const char *name = codec == LSI_CODEC_LZ4 ? "an lz4" : "a zstd";
  while (*at < end) {
    const size_t left = (size_t)(end - *at);
    const int64_t skip = skippable_frame(*at, left);
    if (skip < 0) return lsi_fail(err, LSIO_ERR_CORRUPT, 0, "%s frame is cut short", name);
    *at += skip;
    if (skip) continue;
    if (left >= 4 && lsi_le32(*at) == magic) return 1;
    return *at == begin
               ? lsi_fail_begin(codec, begin, (size_t)(end - begin), err)
               : lsi_fail(err, LSIO_ERR_CORRUPT, 0, "bytes after %s frame are not another frame",
                          name);
  }
  return 0;
}
